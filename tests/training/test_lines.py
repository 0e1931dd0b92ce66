"""Lines, paragraphs and nothing: equal chance gives equal samples, within the tokens that a picture may have."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.worlds import small_world
from training.render.degrade import degrade, paper_of, warp
from training.render.lines import line
from training.render.nothing import nothing
from training.render.paragraphs import MOST_TOKENS, chat_read, paragraph
from training.render.phrases import READ, READ_HELD_OUT
from training.render.typeset import Paper, typeset, width_of, wrap
from training.samples import Maker
from training.world import Split

MAKERS = [line, paragraph, chat_read, nothing]
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
@settings(max_examples=30)
@given(seed=seeds, split=st.sampled_from(["train", "held-out"]))
def test_a_sample_is_a_function_of_chance(maker: Maker, seed: int, split: Split) -> None:
    one, other = (maker(random.Random(seed), small_world(split)) for _ in range(2))
    asked, answered = one.turns[-2:]
    (picture,) = asked.pictures
    assert [(turn.role, turn.text) for turn in one.turns] == [(turn.role, turn.text) for turn in other.turns]
    assert np.array_equal(picture, other.turns[-2].pictures[0])
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert -(-picture.shape[0] // 28) * -(-picture.shape[1] // 28) <= MOST_TOKENS
    assert (answered.text == "") == (maker is nothing) and answered.text == answered.text.strip()
    assert "  " not in answered.text


@given(seed=seeds, width=st.integers(30, 400), size=st.integers(10, 40))
def test_lines_hold_all_words_and_no_more_than_fits(seed: int, width: int, size: int) -> None:
    world, rng = small_world(), random.Random(seed)
    face, text = world.fonts.pick(rng, "body"), world.texts.paragraph(rng, 120)
    lines = wrap(face, size, text, width)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(width_of(face, size, found) <= width + 1 or len(found) == 1 for found in lines)


@given(seed=seeds, align=st.sampled_from(["left", "right", "centre", "justified"]), indent=st.integers(0, 40))
def test_what_is_drawn_is_what_is_said_and_lies_in_its_box(seed: int, align: str, indent: int) -> None:
    world, rng = small_world(), random.Random(seed)
    paper = Paper(500, 700)
    face, text = world.fonts.pick(rng, "body"), world.texts.paragraph(rng, 200)
    drawn = typeset(paper, text, face, 20, 40, 40, 400, 1.4, align, (0, 0, 0), indent, 8)  # type: ignore[arg-type]
    said = " ".join(found.text for found in drawn)
    assert " ".join(text.split()).startswith(said[: len(said) * 3 // 4]) or len(drawn) == 8
    ink = paper.pixels().min(axis=2) < 128
    for found in drawn:
        x0, y0, x1, y1 = found.box
        ink[y0:y1, x0:x1] = False
    assert not ink.any()


def test_phrases_that_are_held_out_are_never_trained_on() -> None:
    assert not {phrase.lower() for phrase in READ} & {phrase.lower() for phrase in READ_HELD_OUT}


@settings(max_examples=60)
@given(seed=seeds, strength=st.floats(0, 1), height=st.integers(8, 90), width=st.integers(8, 300))
def test_wear_keeps_the_size(seed: int, strength: float, height: int, width: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    worn = degrade(pixels, random.Random(seed), strength)
    assert worn.shape == pixels.shape and worn.dtype == np.uint8
    if strength == 0:
        assert worn is pixels


def test_boxes_follow_what_is_warped() -> None:
    pixels = np.full((300, 400, 3), 255, dtype=np.uint8)
    pixels[100:140, 150:260] = 0
    for seed in range(20):
        moved, (box,) = warp(pixels, [(150, 100, 260, 140)], random.Random(seed))
        rows, columns = np.nonzero(moved.min(axis=2) < 128)
        x0, y0, x1, y1 = box
        assert x0 <= columns.min() + 1 and y0 <= rows.min() + 1 and x1 >= columns.max() and y1 >= rows.max()
        assert paper_of(moved) == (255, 255, 255)
