"""Pages and tables: equal chance gives equal samples, boxes lie on the page, tables read as they were written."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.worlds import small_world
from training.render.families import HELD_OUT, TRAIN
from training.render.figures import LEAST, figure
from training.render.otsl import Cell, Table, parse, render
from training.render.pages import SIDE, clean_page, composed, page, squashed
from training.render.tables import MOST_TOKENS, table
from training.samples import Maker
from training.scores import blocks_of, cells_of
from training.world import Split

seeds = st.integers(0, 2**32)
splits = st.sampled_from(["train", "held-out"])


@pytest.mark.parametrize("maker", [page, clean_page, table], ids=lambda maker: maker.__name__)
@settings(max_examples=8)
@given(seed=seeds, split=splits)
def test_a_sample_is_a_function_of_chance(maker: Maker, seed: int, split: Split) -> None:
    one, other = (maker(random.Random(seed), small_world(split)) for _ in range(2))
    assert one.turns[-1] == other.turns[-1]
    (picture,) = one.turns[-2].pictures
    assert np.array_equal(picture, other.turns[-2].pictures[0])
    assert -(-picture.shape[0] // 28) * -(-picture.shape[1] // 28) <= MOST_TOKENS


@settings(max_examples=25)
@given(seed=seeds, split=splits)
def test_blocks_lie_on_the_page_side_by_side(seed: int, split: Split) -> None:
    found = composed(random.Random(seed), small_world(split))
    height, width = found.pixels.shape[:2]
    for index, block in enumerate(found.blocks):
        x0, y0, x1, y1 = block.box
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height, block
        for other in found.blocks[:index]:
            across = min(x1, other.box[2]) - max(x0, other.box[0])
            down = min(y1, other.box[3]) - max(y0, other.box[1])
            assert across <= 0 or down <= 2, (block, other)  # descenders may reach into the next line's box


@settings(max_examples=15)
@given(seed=seeds)
def test_answers_are_read_as_the_client_reads_them(seed: int) -> None:
    sample = page(random.Random(seed), small_world())
    (picture,) = sample.turns[-2].pictures
    blocks = blocks_of(sample.turns[-1].text)
    assert picture.shape == (SIDE, SIDE, 3)
    assert len(blocks) == len(sample.turns[-1].text.splitlines())
    for box, _ in blocks:
        assert 0 <= box[0] <= box[2] <= 1000 and 0 <= box[1] <= box[3] <= 1000


def test_a_squashed_page_keeps_its_blocks() -> None:
    whole = composed(random.Random(3), small_world())
    small = squashed(whole)
    height, width = whole.pixels.shape[:2]
    for block, other in zip(whole.blocks, small.blocks, strict=True):
        assert (
            abs(block.box[0] * SIDE / width - other.box[0]) <= 1
            and abs(block.box[3] * SIDE / height - other.box[3]) <= 1
        )


@settings(max_examples=100)
@given(seed=seeds, width=st.integers(1, 300), height=st.integers(1, 300))
def test_figures_are_drawn_however_small(seed: int, width: int, height: int) -> None:
    drawn = figure(random.Random(seed), small_world(), width, height)
    assert 1 <= drawn.shape[0] <= max(LEAST, height) and 1 <= drawn.shape[1] <= max(LEAST, width)


def test_families_are_apart() -> None:
    assert len(TRAIN) >= 12 and len(HELD_OUT) >= 4
    assert not {family.name for family in TRAIN} & {family.name for family in HELD_OUT}
    arrangements = [
        {(family.widths, family.across, tuple(family.elements)) for family in some} for some in (TRAIN, HELD_OUT)
    ]
    assert not arrangements[0] & arrangements[1]


@st.composite
def grids(draw: st.DrawFn) -> Table:
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    taken: set[tuple[int, int]] = set()
    cells = []
    for row in range(rows):
        for column in range(columns):
            if (row, column) in taken:
                continue
            wide = 1
            while column + wide < columns and (row, column + wide) not in taken and draw(st.booleans()):
                wide += 1
            high = draw(st.integers(1, min(3, rows - row)))
            taken |= {(row + down, column + across) for down in range(high) for across in range(wide)}
            cells.append(Cell(row, column, draw(st.text("ab 1", max_size=4)).strip(), high, wide))
    return Table(rows, columns, tuple(cells))


@given(grids())
def test_tables_are_read_as_they_were_written(table: Table) -> None:
    assert parse(render(table)) == table


@pytest.mark.parametrize("broken", ["", "<fcel>a", "<fcel>a<nl><fcel>b<fcel>c<nl>", "text<fcel>a<nl>", "<lcel><nl>"])
def test_what_is_no_table_is_refused(broken: str) -> None:
    with pytest.raises(ValueError):
        parse(broken)


@settings(max_examples=15)
@given(seed=seeds, split=splits)
def test_what_a_table_says_is_a_table(seed: int, split: Split) -> None:
    text = table(random.Random(seed), small_world(split)).turns[-1].text
    parsed = parse(text)
    assert render(parsed) == text and len(cells_of(text)) == parsed.rows * parsed.columns
