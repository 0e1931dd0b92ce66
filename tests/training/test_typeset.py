"""Text is broken where it should be, drawn where it is said to be, and nothing of it is lost."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.training.worlds import small_world
from training.render.glyphs import length_of, line_of
from training.render.typeset import Align, Paper, shown, text_after, text_of, typeset, width_of, wrap

seeds = st.integers(0, 2**32)
aligns = st.sampled_from(["left", "right", "centre", "justified"])


@given(seed=seeds, width=st.integers(30, 400), size=st.integers(10, 40))
def test_lines_hold_all_words_and_no_more_than_fits(seed: int, width: int, size: int) -> None:
    world, rng = small_world(), random.Random(seed)
    face, text = world.fonts.pick(rng, "body"), world.texts.paragraph(rng, 120)
    lines = wrap(face, size, text, width)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(width_of(face, size, found) <= width + 1 or len(found) == 1 for found in lines)


@settings(max_examples=60)
@given(seed=seeds, align=aligns, indent=st.integers(-30, 40), most=st.integers(1, 12))
def test_what_is_drawn_is_what_is_said_and_lies_in_its_box(seed: int, align: Align, indent: int, most: int) -> None:
    world, rng = small_world(), random.Random(seed)
    paper = Paper(500, 700)
    face, text = world.fonts.pick(rng, "body"), " ".join(world.texts.paragraph(rng, 200).split())
    drawn = typeset(paper, text, face, 20, 40, 40, 400, 1.4, align, (0, 0, 0), indent, most)
    lines = [found.text for found in drawn]
    assert 1 <= len(lines) <= most
    assert "".join(text.split()).startswith("".join("".join(lines).split()))
    ink = paper.pixels().min(axis=2) < 128
    for found in drawn:
        x0, y0, x1, y1 = found.box
        assert 0 <= x0 < x1 <= paper.width and 0 <= y0 < y1 <= paper.height
        assert ink[y0:y1, x0:x1].any()
        ink[y0:y1, x0:x1] = False
    assert not ink.any()


@given(seed=seeds, width=st.integers(60, 300), count=st.integers(0, 9))
def test_words_that_were_cut_are_whole_again(seed: int, width: int, count: int) -> None:
    world, rng = small_world(), random.Random(seed)
    face, text = world.fonts.pick(rng, "body"), " ".join(world.texts.paragraph(rng, 160).split())
    lines = wrap(face, 20, text, width)
    said, left = text_of(text, lines[:count]), text_after(text, lines[:count])
    assert text in (f"{said}{left}", f"{said} {left}")
    assert said.replace(" ", "") == "".join(lines[:count]).replace(" ", "")
    assert text_of(text, lines) == text and text_after(text, lines) == ""


def test_an_address_of_the_web_that_is_longer_than_a_line_goes_on_below() -> None:
    face, text = small_world().fonts.pick(random.Random(0), "body"), "see https://example.com/a/very/long/path/of/words"
    paper = Paper(300, 300)
    lines = [line.text for line in typeset(paper, text, face, 20, 10, 10, 200)]
    assert len(lines) > 2 and text_of(text, lines) == text


def test_what_a_font_lacks_is_said_in_plain_letters() -> None:
    class Plain:
        def shows(self, text: str) -> bool:
            return text.isascii()

    assert shown(Plain(), "  “Café”  –  £5 ") == '"Cafe" - GBP5'  # type: ignore[arg-type]


def test_a_piece_of_paper_ends_where_the_paper_does() -> None:
    paper = Paper(60, 40, (250, 240, 230))
    paper.rule(0, 5, 59, 5)
    assert paper.cut((-5, -5, 20, 10)).shape == (10, 20, 3)
    assert np.array_equal(paper.cut((0, 0, 60, 40)), paper.pixels())
    assert paper.cut((50, 30, 99, 99)).shape == (10, 10, 3)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(9, 50), text=st.text("abcfgijlmTAVoy.,()17 ", max_size=30))
def test_lines_of_letters_look_and_measure_as_if_drawn_whole(seed: int, size: int, text: str) -> None:
    face = small_world().fonts.pick(random.Random(seed))
    whole, put = (Image.new("L", (1800, 120), 0) for _ in range(2))
    ImageDraw.Draw(whole).text((60, 30), text, 255, face.at(size), anchor="la")
    found = line_of(face, size, text)
    if found.mask.size:
        put.paste(255, (60 + found.left, 30 + found.top), Image.fromarray(found.mask))
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(put)).max() <= 64
    assert abs(length_of(face, size, text) - face.at(size).getlength(text)) < 0.02
    assert found.advance == length_of(face, size, text)
