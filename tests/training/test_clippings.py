"""Clippings: equal chance gives equal ones, they cut through no block, and tell every block that they show."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.worlds import small_world
from training.render.blocks import Block, apart
from training.render.clippings import SIDES, SMALLER, Source, closed, framed, parts, parts_and_page, widened
from training.render.fields import CELL
from training.render.pages import SIDE, Drawn, composed
from training.render.typeset import Box
from training.samples import MakerOfSeveral
from upright.cli.parse.protocol import read_layout

seeds = st.integers(0, 2**32)


def holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


@st.composite
def side_by_side(draw: st.DrawFn) -> list[Box]:
    """Some boxes on a page, none of which touch."""
    boxes: list[Box] = []
    for _ in range(draw(st.integers(1, 12))):
        x, y = draw(st.integers(0, 900)), draw(st.integers(0, 1300))
        box = (x, y, x + draw(st.integers(5, 600)), y + draw(st.integers(5, 300)))
        if all(apart(box, other) for other in boxes):
            boxes.append(box)
    return boxes


@pytest.mark.parametrize("maker", [parts, parts_and_page], ids=lambda maker: maker.__name__)
@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_samples_are_a_function_of_chance(maker: MakerOfSeveral, seed: int) -> None:
    one, other = (list(maker(random.Random(seed), small_world())) for _ in range(2))
    assert [sample.turns[-1] for sample in one] == [sample.turns[-1] for sample in other]
    for sample, same in zip(one, other, strict=True):
        assert np.array_equal(sample.turns[-2].pictures[0], same.turns[-2].pictures[0])


@settings(max_examples=4, deadline=None)
@given(seed=seeds)
def test_pictures_have_whole_tokens_and_boxes_lie_within_them(seed: int) -> None:
    samples = list(parts_and_page(random.Random(seed), small_world()))
    sizes = [sample.turns[-2].pictures[0].shape[:2] for sample in samples]
    assert sizes[-1] == (SIDE, SIDE) and sizes[-2][0] == sizes[-2][1] in SMALLER
    for size in sizes[:-2]:
        assert size[0] % CELL == size[1] % CELL == 0
        assert min(SIDES) - 2 * CELL <= min(size) and max(size) <= max(SIDES) + 2 * CELL
    for sample in samples:
        assert sample.task == "layout"
        for x0, y0, x1, y1 in (block.box for block in read_layout(sample.turns[-1].text)):
            assert 0 <= x0 < x1 <= 1000 and 0 <= y0 < y1 <= 1000


@settings(max_examples=200, deadline=None)
@given(boxes=side_by_side(), seed=seeds)
def test_no_block_is_cut_and_all_within_are_told(boxes: list[Box], seed: int) -> None:
    blocks = [Block("text", box) for box in boxes]
    frame, shown, size = framed(random.Random(seed), blocks)
    inside = [box for box in boxes if not apart(box, shown)]
    assert inside and holds(frame, shown) and min(size) > 0
    assert all(holds(shown, box) for box in inside)


@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_blocks_of_a_clipping_hold_what_they_held_on_the_page(seed: int) -> None:
    whole = composed(random.Random(seed), small_world())
    black = np.full_like(whole.pixels, 255)
    for block in whole.blocks:
        x0, y0, x1, y1 = block.box
        black[y0:y1, x0:x1] = 0
    source = Source(Drawn(black, whole.blocks))
    for _ in range(6):
        found = source.clipping(random.Random(seed))
        ink = found.pixels[:, :, 0] < 100
        for block in found.blocks:
            x0, y0, x1, y1 = block.box
            if x1 - x0 > 4 and y1 - y0 > 4:
                assert ink[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].all()
            ink[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = False
        assert not ink.any()


def test_a_page_of_nothing_has_clippings_too() -> None:
    source = Source(Drawn(np.full((1500, 1000, 3), 250, dtype=np.uint8), ()))
    found = source.clipping(random.Random(1))
    assert not found.blocks and (found.pixels == 250).all()


def test_a_window_grows_until_it_cuts_through_nothing() -> None:
    boxes = [(0, 0, 10, 10), (5, 20, 30, 30), (25, 12, 40, 35), (60, 60, 70, 70)]
    assert closed((0, 0, 12, 22), boxes) == (0, 0, 40, 35)
    assert widened(random.Random(1), (0, 0, 40, 35), (-5, -5, 90, 35), boxes[3:]) == (-5, -5, 90, 35)
    assert widened(random.Random(1), (50, 62, 55, 65), (50, 62, 90, 65), boxes[3:]) == (50, 62, 60, 65)
