"""Pages: equal chance gives equal pages, boxes hold their blocks' ink and nothing else's, clients read the answers."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mineru_vl_utils.mineru_client import MinerUClientHelper
from PIL import Image, ImageDraw

from tests.training.worlds import small_world
from training.render.blocks import Page, Shape, Words, apart
from training.render.families import HELD_OUT, TRAIN
from training.render.figures import LEAST, figure
from training.render.pages import LAYOUTS, SIDE, answer, clean_page, composed, page, plan, squashed, worn
from training.render.pages_draw import draw
from training.render.pages_words import extent, lines_of, stamp
from training.samples import Maker
from training.world import Split
from upright.cli.parse.protocol import read_layout

seeds = st.integers(0, 2**32)
splits = st.sampled_from(["train", "held-out"])
KINDS = {
    "title", "text", "table", "table_caption", "image", "image_caption", "list", "header", "footer", "page_number",
    "page_footnote", "equation", "code",
}  # fmt: skip
everything = [(split, name) for split in LAYOUTS for name in LAYOUTS[split]]


@pytest.mark.parametrize("maker", [page, clean_page], ids=lambda maker: maker.__name__)
@settings(max_examples=5, deadline=None)
@given(seed=seeds, split=splits)
def test_a_sample_is_a_function_of_chance(maker: Maker, seed: int, split: Split) -> None:
    one, other = (maker(random.Random(seed), small_world(split)) for _ in range(2))
    assert one.turns[-1] == other.turns[-1]
    (picture,) = one.turns[-2].pictures
    assert picture.shape == (SIDE, SIDE, 3)
    assert np.array_equal(picture, other.turns[-2].pictures[0])


@pytest.mark.parametrize(("split", "name"), everything)
@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_blocks_lie_on_the_page_side_by_side(split: Split, name: str, seed: int) -> None:
    planned = LAYOUTS[split][name](random.Random(seed), small_world(split))
    assert draw(planned)[0].shape == (planned.height, planned.width, 3)
    for mark in planned.marks:
        if isinstance(mark, Shape):
            assert mark.box[0] < mark.box[2] and mark.box[1] < mark.box[3], mark
    for index, block in enumerate(planned.blocks):
        x0, y0, x1, y1 = block.box
        assert 0 <= x0 < x1 <= planned.width and 0 <= y0 < y1 <= planned.height, block
        assert block.kind in KINDS
        assert block.text or block.kind == "image"
        for other in planned.blocks[:index]:
            assert apart(block.box, other.box), (block, other)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, split=splits)
def test_all_ink_of_text_is_in_a_block_and_boxes_are_tight(seed: int, split: Split) -> None:
    planned = plan(random.Random(seed), small_world(split))
    words = tuple(mark for mark in planned.marks if isinstance(mark, Words))
    # only the words, in black on white
    pixels = draw(Page(planned.width, planned.height, (255, 255, 255), tuple(_black(mark) for mark in words), ()))[0]
    outside = pixels[:, :, 0] < 128
    for block in planned.blocks:
        x0, y0, x1, y1 = block.box
        outside[y0:y1, x0:x1] = False
        if block.kind not in ("image", "table"):
            ink = pixels[y0:y1, x0:x1, 0] < 255
            rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
            assert rows[0] <= 1 and columns[0] <= 1, block  # what is hardly grey may be rounded away
            assert rows[-1] >= y1 - y0 - 2 and columns[-1] >= x1 - x0 - 2, block
    assert not outside.any()


def _black(mark: Words) -> Words:
    return Words(mark.x, mark.y, mark.words, mark.face, mark.size, (0, 0, 0))


@settings(max_examples=15, deadline=None)
@given(seed=seeds, split=splits)
def test_answers_are_read_as_the_client_reads_them(seed: int, split: Split) -> None:
    drawn = worn(random.Random(seed), squashed(composed(random.Random(seed), small_world(split))))
    text = answer(drawn)
    found = _client().parse_layout_output(text)
    ours = read_layout(text)
    assert [block.type for block in found] == [block.kind for block in drawn.blocks] == [block.kind for block in ours]
    for block, other in zip(found, ours, strict=True):
        assert block.angle == other.angle == 0
        assert [round(1000 * value) for value in block.bbox] == list(other.box)


def _client() -> MinerUClientHelper:
    return MinerUClientHelper(
        backend="http-client", prompts={}, sampling_params={}, layout_image_size=(SIDE, SIDE), min_image_edge=28,
        max_image_edge_ratio=50.0, simple_post_process=False, handle_equation_block=False, abandon_list=False,
        abandon_paratext=False, image_analysis=False, debug=False,
    )  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_a_squashed_page_keeps_its_blocks(seed: int) -> None:
    whole = composed(random.Random(seed), small_world())
    small = squashed(whole)
    height, width = whole.pixels.shape[:2]
    for block, other in zip(whole.blocks, small.blocks, strict=True):
        assert abs(block.box[0] * SIDE / width - other.box[0]) <= 1
        assert abs(block.box[3] * SIDE / height - other.box[3]) <= 1


@settings(max_examples=40, deadline=None)
@given(seed=seeds, size=st.integers(9, 50), word=st.text("abcfgijlmTAVoy.,()17", min_size=1, max_size=9))
def test_words_put_together_of_letters_look_as_if_drawn_whole(seed: int, size: int, word: str) -> None:
    face = small_world().fonts.pick(random.Random(seed), "body")
    whole, stamped = (Image.new("L", (700, 120), 0) for _ in range(2))
    ImageDraw.Draw(whole).text((60, 30), word, 255, face.at(size), anchor="la")
    found = stamp(face, size, word)
    stamped.paste(255, (60 + found.left, 30 + found.top), Image.fromarray(found.mask))
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(stamped)).max() <= 64
    assert abs(found.advance - face.at(size).getlength(word)) < 1


@given(text=st.text("abc de fgh", max_size=200), width=st.integers(60, 400), indent=st.integers(0, 50))
def test_lines_hold_all_words_and_are_no_longer_than_allowed(text: str, width: int, indent: int) -> None:
    face = small_world().fonts.pick(random.Random(1), "body")
    lines = lines_of(face, 16, text, width, indent)
    assert "".join("".join(line.words) for line in lines) == "".join(text.split())
    for index, line in enumerate(lines):
        assert line.long <= width - (0 if index else indent) + 1e-6
        assert abs(line.long - extent(face, 16, " ".join(line.words))) < 1e-6


@settings(max_examples=60, deadline=None)
@given(seed=seeds, width=st.integers(1, 300), height=st.integers(1, 300))
def test_figures_are_drawn_however_small(seed: int, width: int, height: int) -> None:
    drawn = figure(random.Random(seed), small_world(), width, height)
    assert 1 <= drawn.shape[0] <= max(LEAST, height) and 1 <= drawn.shape[1] <= max(LEAST, width)


def test_families_are_apart() -> None:
    assert len(LAYOUTS["train"]) >= 12 and len(LAYOUTS["held-out"]) >= 4
    assert not set(LAYOUTS["train"]) & set(LAYOUTS["held-out"])
    arrangements = [
        {(family.widths, family.across, tuple(family.elements)) for family in some} for some in (TRAIN, HELD_OUT)
    ]
    assert not arrangements[0] & arrangements[1]
