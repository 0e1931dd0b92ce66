"""Lines, paragraphs and nothing: equal chance gives equal samples, within the tokens that a picture may have."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.worlds import small_world
from training.render.client import TEXT
from training.render.crop import FLATTEST, SHORTEST, as_sent, crop
from training.render.flowing import hyphenated, joined
from training.render.lines import line, word
from training.render.look import sheet
from training.render.nothing import nothing
from training.render.paragraphs import MOST_TOKENS, chat_read, paragraph
from training.render.phrases import READ, READ_HELD_OUT
from training.render.setting import choose
from training.render.stacked import addressed, article, code, heading, listed, loose, references
from training.render.typeset import Paper, width_of
from training.render.words import FEW, LONGEST, few_letters, words
from training.samples import Maker, Pixels
from training.world import Split, World

MAKERS = [line, word, paragraph, chat_read, nothing]
STACKS = [addressed, article, code, heading, listed, loose, references]
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
    assert all("  " not in said.lstrip(" ") and said == said.rstrip() for said in answered.text.split("\n"))
    if maker in (line, paragraph):
        assert min(picture.shape[:2]) >= SHORTEST and asked.text.strip() == TEXT.strip()
    if maker is line:
        assert "\n" not in answered.text and len(answered.text) <= LONGEST


@pytest.mark.parametrize("draw", STACKS, ids=lambda draw: draw.__name__)
@settings(max_examples=15)
@given(seed=seeds)
def test_what_is_stacked_has_ink_and_says_something(
    draw: Callable[[random.Random, World], tuple[Pixels, str]], seed: int
) -> None:
    pixels, text = draw(random.Random(seed), small_world())
    assert text and int(pixels.max()) - int(pixels.min()) > 40


@settings(max_examples=50)
@given(seed=seeds, indent=st.integers(0, 40), most=st.integers(1, 20))
def test_words_cut_at_hyphens_are_whole_again(seed: int, indent: int, most: int) -> None:
    world, rng = small_world(), random.Random(seed)
    setting = choose(rng, world)
    text = " ".join(world.texts.paragraph(rng, 300).split())
    broken = hyphenated(setting, text, indent, most)
    said = joined(broken)
    assert text.startswith(said) and text[len(said) : len(said) + 1] in ("", " ")
    assert len(broken) <= most and all(found.endswith("-") for found, cut in broken if cut)
    for index, (found, _) in enumerate(broken):
        assert width_of(setting.face, setting.size, found) <= setting.width - (0 if index else indent)


def test_some_words_are_cut() -> None:
    world = small_world()
    cut = 0
    for seed in range(40):
        rng = random.Random(seed)
        cut += any(cut for _, cut in hyphenated(choose(rng, world), world.texts.paragraph(rng, 300), 0, 20))
    assert cut > 10


@given(seed=seeds)
def test_words_are_single_spaced_and_short_enough_for_a_line(seed: int) -> None:
    text = words(random.Random(seed), small_world())
    assert text and text == " ".join(text.split()) and len(text) <= LONGEST


@settings(max_examples=60)
@given(seed=seeds, strength=st.floats(0, 1))
def test_no_ink_is_cut_off(seed: int, strength: float) -> None:
    paper = Paper(500, 200)
    paper.draw.rectangle((60, 70, 420, 100), (0, 0, 0))
    pixels = crop(random.Random(seed), paper, (60, 70, 421, 101), (2, 2, 2, 2), strength)
    dark = pixels.min(axis=2) < 60
    assert 0.97 < dark.sum() / (361 * 31) < 1.06
    assert not any(edge.any() for edge in (dark[0], dark[-1], dark[:, 0], dark[:, -1]))


@given(height=st.integers(1, 300), width=st.integers(1, 3000))
def test_what_is_sent_is_neither_too_short_nor_too_flat(height: int, width: int) -> None:
    sent = as_sent(np.zeros((height, width, 3), dtype=np.uint8))
    assert min(sent.shape[:2]) >= SHORTEST
    assert max(sent.shape[:2]) <= FLATTEST * min(sent.shape[:2]) + FLATTEST
    if min(height, width) >= SHORTEST and max(height, width) <= FLATTEST * min(height, width):
        assert sent.shape == (height, width, 3)


def test_code_is_set_in_as_far_as_it_says() -> None:
    found = 0
    for seed in range(40):
        _, text = code(random.Random(seed), small_world())
        leads = [len(said) - len(said.lstrip(" ")) for said in text.split("\n")]
        assert min(leads) == 0
        found += any(after > before for before, after in pairwise(leads))
    assert found > 5


def test_phrases_that_are_held_out_are_never_trained_on() -> None:
    assert len(READ) >= 30 and len(READ_HELD_OUT) >= 8
    assert not {phrase.lower() for phrase in READ} & {phrase.lower() for phrase in READ_HELD_OUT}


def test_a_sheet_shows_all_samples() -> None:
    samples = [maker(random.Random(1), small_world()) for maker in MAKERS]
    drawn = sheet(samples)
    assert drawn.height >= max(sample.turns[-2].pictures[0].shape[0] for sample in samples)


@given(seed=seeds)
def test_few_letters_are_few(seed: int) -> None:
    found = few_letters(random.Random(seed), small_world())
    assert 1 <= len(found) <= FEW and found == found.strip()
