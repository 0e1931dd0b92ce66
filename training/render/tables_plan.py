"""Tables as data: their cells, and which rows are heads, sums and sections.

Held out are heads of two levels beside which the first column's name stands, statements with sections and items set in,
and tables that are turned, each row with a name and things of its own kind.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.render.otsl import Cell, Table
from training.render.tables_words import Column, Fit, column, heading, some_words
from training.render.typeset import shown
from training.world import Face, World

MOST_ROWS, MOST_COLUMNS = 14, 8
_LEFT: Fit = "left"
_CENTRE: Fit = "centre"
_RIGHT: Fit = "right"


@dataclass(frozen=True)
class Planned:
    table: Table
    heads: int  # rows
    stub: bool  # the first column says what the rows are
    fits: tuple[Fit, ...]  # of columns
    strong: frozenset[int] = frozenset()  # rows of sums, and of sections' names
    deep: frozenset[int] = frozenset()  # rows whose first cell is set in
    turned: bool = False  # the first column is the head


def plan(rng: random.Random, world: World, face: Face, most_columns: int = MOST_COLUMNS) -> Planned:
    """What `face` can show, of two to `most_columns` columns."""
    count = min(most_columns, rng.choices(range(2, MOST_COLUMNS + 1), (10, 20, 22, 20, 14, 8, 6))[0])
    kind = rng.choices(*(_TRAINED if world.split == "train" else _HELD_OUT))[0]
    found = kind(rng, world, count)
    cells = [Cell(c.row, c.column, _plain(face, c.text), c.rows, c.columns) for c in found.table.cells]
    table = Table(found.table.rows, found.table.columns, tuple(cells))
    return Planned(table, found.heads, found.stub, found.fits, found.strong, found.deep, found.turned)


def _plain(face: Face, text: str) -> str:
    """Without what OTSL is written in."""
    return shown(face, text.replace("<", "").replace(">", ""))


def _depth(rng: random.Random, least: int = 1) -> int:
    return max(least, min(MOST_ROWS - 2, round(rng.expovariate(1 / 5)) + 1))


def _columns(rng: random.Random, world: World, count: int) -> tuple[list[Column], bool]:
    columns = [column(rng, world) for _ in range(count)]
    stub = rng.random() < 0.65
    if stub:
        columns[0] = column(rng, world, rng.choices(("names", "counts", "dates", "codes"), (80, 8, 6, 6))[0])
    return columns, stub


def _fits(rng: random.Random, columns: Sequence[Column]) -> tuple[Fit, ...]:
    """All of a table's columns may be centred, or all stand at the left."""
    same: Fit | None = rng.choices((None, _CENTRE, _LEFT), (76, 16, 8))[0]
    return tuple(same or column.fit for column in columns)


# ---- to be trained on ------------------------------------------------------------------------------------------------


def _usual(rng: random.Random, world: World, count: int) -> Planned:
    columns, stub = _columns(rng, world, count)
    heads, cells = rng.choices((_plain_head, _merged_head, _no_head), (70, 22, 8))[0](rng, world, count)
    body = max(2 - heads, _depth(rng))
    taken: set[tuple[int, int]] = set()
    if count > 1 and rng.random() < 0.15:
        taken |= _merge_down(rng, world, columns[0], heads, body, cells)
    if count > 2 and rng.random() < 0.15:
        taken |= _merge_inside(rng, world, columns, heads, body, cells, taken)
    _fill(rng, columns, range(heads, heads + body), cells, taken, rng.choice((0.0, 0.0, 0.0, 0.05, 0.2)))
    strong: frozenset[int] = frozenset()
    if stub and not taken and body > 2 and rng.random() < 0.2:  # a sum below
        last = heads + body - 1
        cells = [cell for cell in cells if (cell.row, cell.column) != (last, 0)]
        cells.append(Cell(last, 0, rng.choice(("Total", "TOTAL", "Sum", "All", "Subtotal", "Mean", "Average"))))
        strong = frozenset({last})
    return Planned(Table(heads + body, count, tuple(cells)), heads, stub, _fits(rng, columns), strong)


def _fill(
    rng: random.Random, columns: Sequence[Column], rows: Sequence[int], cells: list[Cell],
    taken: set[tuple[int, int]], empty: float,
) -> None:  # fmt: skip
    for row in rows:
        for index, found in enumerate(columns):
            if (row, index) not in taken:
                cells.append(Cell(row, index, "" if index and rng.random() < empty else found.fill()))


def _merge_down(
    rng: random.Random, world: World, first: Column, heads: int, body: int, cells: list[Cell]
) -> set[tuple[int, int]]:
    """Groups of rows, each with one name."""
    row, taken = heads, set()
    while row < heads + body:
        rows = min(heads + body - row, rng.choice((1, 2, 2, 3)))
        cells.append(Cell(row, 0, first.fill(), rows=rows))
        taken |= {(inner, 0) for inner in range(row, row + rows)}
        row += rows
    return taken


def _merge_inside(
    rng: random.Random, world: World, columns: Sequence[Column], heads: int, body: int, cells: list[Cell],
    others: set[tuple[int, int]],
) -> set[tuple[int, int]]:  # fmt: skip
    """One cell over some rows, columns or both."""
    rows = min(body, rng.choice((1, 2, 2)))
    wide = 2 if rows == 1 or rng.random() < 0.75 else 1
    row = rng.randint(heads, heads + body - rows)
    start = rng.randint(1, len(columns) - wide)
    taken = {(row + down, start + across) for down in range(rows) for across in range(wide)}
    if taken & others:
        return set()
    text = some_words(rng, world) if rng.random() < 0.85 else ""
    cells.append(Cell(row, start, text, rows, wide))
    return taken


def _plain_head(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    first = "" if rng.random() < 0.15 else heading(rng, world)
    return 1, [Cell(0, 0, first), *(Cell(0, column, heading(rng, world)) for column in range(1, columns))]


def _no_head(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    return 0, []


def _merged_head(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    """A title over all of it, or groups over columns that have their own names below."""
    if rng.random() < 0.4:
        return 2, [
            Cell(0, 0, world.texts.title(rng), columns=columns),
            *(Cell(1, column, heading(rng, world)) for column in range(columns)),
        ]
    cells, column = [], 0
    while column < columns:
        span = min(columns - column, rng.choice((1, 2, 2, 3)))
        cells.append(Cell(0, column, heading(rng, world) if span > 1 or rng.random() < 0.5 else "", columns=span))
        column += span
    return 2, [*cells, *(Cell(1, column, heading(rng, world)) for column in range(columns))]


def _scattered(rng: random.Random, world: World, count: int) -> Planned:
    """Cells over some rows, columns or both anywhere, so that how far one goes has to be seen."""
    columns, stub = _columns(rng, world, count)
    heads = rng.choice((0, 1, 1, 2, 2))
    body = max(2, _depth(rng))
    cells: list[Cell] = []
    taken: set[tuple[int, int]] = set()
    strong: set[int] = set()
    for _ in range(rng.randint(1, 5)):
        across = rng.random() < 0.3
        rows = 1 if across else rng.choice((1, 1, 2, 2, 3))
        wide = count if across else rng.randint(1, min(count, 4))
        above = rng.random() < 0.3  # in the head
        first, end = (0, heads) if above else (heads, heads + body)
        if rows > end - first or rows * wide == 1:
            continue
        row, start = rng.randint(first, end - rows), rng.randint(0, count - wide)
        places = {(row + down, start + right) for down in range(rows) for right in range(wide)}
        if places & taken or (above and start == 0 and rows == heads):  # the first name beside two levels is held out
            continue
        taken |= places
        text = (heading if above else some_words)(rng, world) if rng.random() < 0.9 else ""
        cells.append(Cell(row, start, text, rows, wide))
        if across and not above and rng.random() < 0.6:
            strong.add(row)
    for row in range(heads):
        cells += [Cell(row, index, heading(rng, world)) for index in range(count) if (row, index) not in taken]
    _fill(rng, columns, range(heads, heads + body), cells, taken, rng.choice((0.0, 0.0, 0.1, 0.3)))
    return Planned(Table(heads + body, count, tuple(cells)), heads, stub, _fits(rng, columns), frozenset(strong))


# ---- held out --------------------------------------------------------------------------------------------------------


def _two_levels(rng: random.Random, world: World, count: int) -> Planned:
    """The first column's name stands beside both levels, and so do those of columns without a group."""
    columns, _ = _columns(rng, world, max(3, count))
    count = len(columns)
    columns[0] = column(rng, world, "names")
    cells, at = [Cell(0, 0, heading(rng, world), rows=2)], 1
    grouped = False
    while at < count:
        span = min(count - at, rng.choice((1, 2, 3)) if grouped else 2)
        grouped = grouped or span > 1
        cells.append(Cell(0, at, heading(rng, world), rows=1 if span > 1 else 2, columns=span))
        if span > 1:
            cells += [Cell(1, inner, heading(rng, world)) for inner in range(at, at + span)]
        at += span
    body = _depth(rng)
    _fill(rng, columns, range(2, 2 + body), cells, set(), 0.0)
    return Planned(Table(2 + body, count, tuple(cells)), 2, True, _fits(rng, columns))


def _statement(rng: random.Random, world: World, count: int) -> Planned:
    """Years over sums of money; sections have a name over all columns, items that are set in, and a sum."""
    count = min(count, 5)
    money = column(rng, world, "numbers")
    year = rng.randint(1990, 2030)
    cells = [Cell(0, 0, rng.choice(("", "in thousands", "Note", heading(rng, world))))]
    cells += [Cell(0, index, str(year - index + 1)) for index in range(1, count)]
    strong, deep = set(), set()
    merged = rng.random() < 0.5  # or there are empty cells beside a section's name
    row = 1
    for _ in range(rng.randint(1, 3)):
        cells.append(Cell(row, 0, world.texts.title(rng), columns=count if merged else 1))
        cells += [Cell(row, index, "") for index in range(1, 1 if merged else count)]
        strong.add(row)
        for item in range(row + 1, min(MOST_ROWS, row + 1 + rng.randint(1, 3))):
            cells.append(Cell(item, 0, some_words(rng, world)))
            cells += [Cell(item, index, money.fill() if rng.random() < 0.92 else "-") for index in range(1, count)]
            deep.add(item)
        row = max(deep) + 1
        if row < MOST_ROWS and rng.random() < 0.7:
            cells.append(Cell(row, 0, f"Total {world.texts.word(rng)}"))
            cells += [Cell(row, index, money.fill()) for index in range(1, count)]
            strong.add(row)
            row += 1
    fits = (_LEFT, *([_RIGHT] * (count - 1)))
    return Planned(Table(row, count, tuple(cells)), 1, True, fits, frozenset(strong), frozenset(deep))


def _turned(rng: random.Random, world: World, count: int) -> Planned:
    """Names of rows at the left, and every row with things of one kind."""
    cells = []
    rows = max(2, min(10, _depth(rng)))
    for row in range(rows):
        cells.append(Cell(row, 0, heading(rng, world)))
        filled = column(rng, world, rng.choice(("names", "numbers", "numbers", "shares", "marks", "dates", "codes")))
        cells += [Cell(row, index, filled.fill()) for index in range(1, count)]
    fit: Fit = rng.choice(("left", "centre", "right"))
    return Planned(Table(rows, count, tuple(cells)), 0, True, (_LEFT, *([fit] * (count - 1))), turned=True)


_Kinds = tuple[tuple[Callable[[random.Random, World, int], Planned], ...], tuple[int, ...]]
_TRAINED: _Kinds = ((_usual, _scattered), (65, 35))
_HELD_OUT: _Kinds = ((_two_levels, _statement, _turned), (40, 35, 25))
