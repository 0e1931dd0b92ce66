"""Tables as a client cuts them out of a page, and what they hold as OTSL."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.render.client import TABLE, sent
from training.render.degrade import degrade
from training.render.lines import CLEAN
from training.render.otsl import Cell, Table, render
from training.render.typeset import Align, Colour, Paper, shown, typeset, width_of, wrap
from training.samples import Pixels, Sample
from training.world import Face, World

MOST_TOKENS = 1400
_WIDEST = 1400  # pixels
_Make = Callable[[random.Random, World], str]


@dataclass(frozen=True)
class Style:
    """How a table is drawn."""

    face: Face
    head: Face
    size: int
    ink: Colour
    paper: Colour
    across: str  # rules: "all", "head", "book" or "none"
    down: str  # "all", "outer", "inner" or "none"
    thick: int
    shade: Colour | None  # behind the head
    stripe: Colour | None  # behind every other row
    pad: tuple[int, int]  # at the sides, and above and below


def table(rng: random.Random, world: World) -> Sample:
    while True:
        style = make_style(rng, world)
        planned = plan(rng, world, style.face)
        pixels = draw(rng, planned, style)
        if pixels is not None:
            break
    if rng.random() > CLEAN:
        pixels = degrade(pixels, rng, rng.uniform(0.1, 0.7))
    return sent(rng, world, "table", TABLE, pixels, render(planned.table))


@dataclass(frozen=True)
class Planned:
    table: Table
    heads: int  # rows
    stub: bool  # the first column says what the rows are
    aligns: tuple[Align, ...]  # of columns


def plan(rng: random.Random, world: World, face: Face) -> Planned:
    """What `face` can show. Held out are heads of two levels with row spans, and statements with sections."""
    columns = rng.choices(range(2, 9), (10, 20, 22, 20, 14, 8, 6))[0]
    body = max(1, min(14, round(rng.expovariate(1 / 5)) + 1))
    kinds = [rng.choices(_KINDS, _WEIGHTS)[0] for _ in range(columns)]
    stub = rng.random() < 0.6
    if stub:
        kinds[0] = (_words, "left")
    if world.split == "held-out":
        heads, cells = rng.choice((_two_levels, _sections))(rng, world, columns)
    else:
        heads, cells = rng.choices((_plain_head, _merged_head, _no_head), (70, 22, 8))[0](rng, world, columns)
    rows = heads + body
    spans = _row_spans(rng, body) if rng.random() < 0.15 else [1] * body
    empty = rng.choice((0.0, 0.0, 0.0, 0.05, 0.2))
    row = heads
    for span in spans:
        cells.append(Cell(row, 0, kinds[0][0](rng, world), rows=span))
        for inner in range(span):
            for column in range(1, columns):
                text = "" if rng.random() < empty else kinds[column][0](rng, world)
                cells.append(Cell(row + inner, column, text))
        row += span
    cells = [Cell(c.row, c.column, shown(face, c.text), c.rows, c.columns) for c in cells]
    aligns: tuple[Align, ...] = tuple(
        kind[1] if rng.random() < 0.8 else "left" if rng.random() < 0.5 else "centre" for kind in kinds
    )
    return Planned(Table(rows, columns, tuple(cells)), heads, stub, aligns)


def _row_spans(rng: random.Random, rows: int) -> list[int]:
    spans = []
    while rows:
        spans.append(min(rows, rng.choice((1, 1, 2, 3))))
        rows -= spans[-1]
    return spans


def _plain_head(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    first = "" if rng.random() < 0.15 else _heading(rng, world)
    return 1, [Cell(0, 0, first), *(Cell(0, column, _heading(rng, world)) for column in range(1, columns))]


def _no_head(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    return 0, []


def _merged_head(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    """A title over all of it, or groups over columns that have their own names below."""
    if rng.random() < 0.4:
        return 2, [
            Cell(0, 0, world.texts.title(rng), columns=columns),
            *(Cell(1, column, _heading(rng, world)) for column in range(columns)),
        ]
    cells, column = [], 0
    while column < columns:
        span = min(columns - column, rng.choice((1, 2, 2, 3)))
        cells.append(Cell(0, column, _heading(rng, world) if span > 1 or rng.random() < 0.5 else "", columns=span))
        column += span
    return 2, [*cells, *(Cell(1, column, _heading(rng, world)) for column in range(columns))]


def _two_levels(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    """The first column's name stands beside both levels."""
    cells, column = [Cell(0, 0, _heading(rng, world), rows=2)], 1
    while column < columns:
        span = min(columns - column, rng.choice((1, 2, 3)))
        if span == 1:
            cells.append(Cell(0, column, _heading(rng, world), rows=2))
        else:
            cells.append(Cell(0, column, _heading(rng, world), columns=span))
            cells += [Cell(1, inner, _heading(rng, world)) for inner in range(column, column + span)]
        column += span
    return 2, cells


def _sections(rng: random.Random, world: World, columns: int) -> tuple[int, list[Cell]]:
    """Names of columns, and the first section's title over all of them."""
    heads = [Cell(0, column, _heading(rng, world)) for column in range(columns)]
    return 2, [*heads, Cell(1, 0, world.texts.title(rng), columns=columns)]


def _heading(rng: random.Random, world: World) -> str:
    words = world.texts.title(rng).split()[: rng.choice((1, 1, 2, 2, 3))]
    text = " ".join(words)
    if rng.random() < 0.15:
        text += rng.choice((" (%)", " ($)", " [kg]", " (mm)", " (m²)" if rng.random() < 0.1 else " (m)", ", EUR"))
    return text


def _words(rng: random.Random, world: World) -> str:
    texts = world.texts
    kind = rng.random()
    if kind < 0.35:
        return " ".join(texts.title(rng).split()[: rng.randint(1, 4)])
    if kind < 0.6:
        return texts.product(rng)
    if kind < 0.75:
        return texts.person(rng)
    return texts.company(rng) if kind < 0.85 else texts.word(rng)


def _phrase(rng: random.Random, world: World) -> str:
    return " ".join(world.texts.sentence(rng).split()[: rng.randint(3, 12)])


def _number(rng: random.Random, world: World) -> str:
    amount = world.texts.amount(rng, 0.1, 10 ** rng.uniform(1, 6))
    return rng.choice((f"{amount:,.0f}", f"{amount:,.1f}", f"{amount:,.2f}", f"{amount:.0f}", f"-{amount:,.1f}"))


def _share(rng: random.Random, world: World) -> str:
    return f"{rng.uniform(0, 100):.{rng.choice((0, 1, 2))}f}{rng.choice(('%', '%', ''))}"


def _mark(rng: random.Random, world: World) -> str:
    return rng.choice(("yes", "no", "-", "n/a", "x", "A", "B", "C", "0", "1", "2", "+", "ok"))


_KINDS: tuple[tuple[_Make, Align], ...] = (
    (_words, "left"), (_phrase, "left"), (_number, "right"), (_share, "right"), (_mark, "centre"),
    (lambda rng, world: world.texts.date(rng), "left"), (lambda rng, world: world.texts.code(rng), "left"),
)  # fmt: skip
_WEIGHTS = (24, 6, 34, 12, 8, 8, 8)


def make_style(rng: random.Random, world: World) -> Style:
    face = world.fonts.pick(rng, "body" if rng.random() < 0.85 else "any")
    dark = rng.randint(0, 70)
    tint = (255, 255, 255) if rng.random() < 0.75 else pale(rng)
    across, down = rng.choice((("all", "all"), ("all", "all"), ("head", "none"), ("book", "none"), ("all", "none"),
                               ("none", "none"), ("head", "inner"), ("all", "outer")))  # fmt: skip
    return Style(
        face, world.fonts.styled(face, rng.random() < 0.6, False), round(14 * (30 / 14) ** rng.random()),
        (dark, dark, dark if rng.random() < 0.8 else min(255, dark + 60)), tint, across, down,
        rng.choice((1, 1, 1, 2, 3)), pale(rng) if rng.random() < 0.35 else None,
        pale(rng) if rng.random() < 0.15 else None,
        (rng.randint(6, 26), rng.randint(2, 12)),
    )  # fmt: skip


def pale(rng: random.Random) -> Colour:
    return rng.randint(205, 250), rng.randint(205, 250), rng.randint(205, 250)


def draw(rng: random.Random, planned: Planned, style: Style, margin: int | None = None) -> Pixels | None:
    """None for what does not fit. `margin`: pixels around it, if not by chance."""
    table, size = planned.table, style.size
    high = round(size * 1.25)
    widths = _widths(rng, planned, style)
    edges_x = _edges(widths)
    faces = {cell: style.head if cell.row < planned.heads else style.face for cell in table.cells}
    rooms = {
        cell: edges_x[cell.column + cell.columns] - edges_x[cell.column] - 2 * style.pad[0] for cell in table.cells
    }  # fmt: skip
    lines = {cell: wrap(faces[cell], size, cell.text, rooms[cell]) for cell in table.cells}
    if any(" ".join(lines[cell]) != cell.text for cell in table.cells):
        return None  # a word was cut
    heights = [high + 2 * style.pad[1]] * table.rows
    for cell in sorted(table.cells, key=lambda cell: cell.rows):
        missing = len(lines[cell]) * high + 2 * style.pad[1] - sum(heights[cell.row : cell.row + cell.rows])
        if missing > 0:
            heights[cell.row + cell.rows - 1] += missing
    edges_y = _edges(heights)
    margin = rng.randint(0, 14) if margin is None else margin
    width, height = edges_x[-1] + 2 * margin + style.thick, edges_y[-1] + 2 * margin + style.thick
    if width > _WIDEST or -(-width // 28) * -(-height // 28) > MOST_TOKENS:
        return None
    paper = Paper(width, height, style.paper)
    _backgrounds(paper, planned, style, edges_x, edges_y, margin)
    middle = rng.random() < 0.5
    for cell in table.cells:
        x0, x1 = edges_x[cell.column] + margin, edges_x[cell.column + cell.columns] + margin
        y0, y1 = edges_y[cell.row] + margin, edges_y[cell.row + cell.rows] + margin
        used = len(lines[cell]) * high
        y = y0 + (y1 - y0 - used) // 2 if middle or cell.rows == 1 else y0 + style.pad[1]
        align: Align = "centre" if cell.columns > 1 else planned.aligns[cell.column]
        typeset(paper, cell.text, faces[cell], size, x0 + style.pad[0], y, rooms[cell], 1.25, align, style.ink)
        _rules(paper, planned, style, cell, (x0, y0, x1, y1))
    return np.ascontiguousarray(paper.pixels())


def _edges(sizes: Sequence[int]) -> list[int]:
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    return edges


def _widths(rng: random.Random, planned: Planned, style: Style) -> list[int]:
    """Of columns: what the widest cell wants, but long texts are broken into lines."""
    widest = rng.randint(110, 260)
    widths = [20] * planned.table.columns
    for cell in planned.table.cells:
        face = style.head if cell.row < planned.heads else style.face
        if cell.columns > 1 or not cell.text:
            continue
        word = max(width_of(face, style.size, word) for word in cell.text.split())
        wanted = max(word, min(widest, width_of(face, style.size, cell.text)))
        widths[cell.column] = max(widths[cell.column], int(wanted) + 2)
    extra = rng.choice((0, 0, 10, 40))
    widths = [width + 2 * style.pad[0] + extra for width in widths]
    for cell in planned.table.cells:  # what spans some columns may need more than they have
        if cell.columns > 1 and cell.text:
            span = slice(cell.column, cell.column + cell.columns)
            word = max(width_of(style.head, style.size, word) for word in cell.text.split()) + 2 * style.pad[0] + 2
            missing = int(word) + 1 - sum(widths[span])
            if missing > 0:
                widths[cell.column] += missing
    return widths


def _backgrounds(
    paper: Paper, planned: Planned, style: Style, xs: Sequence[int], ys: Sequence[int], margin: int
) -> None:  # fmt: skip
    for row in range(planned.table.rows):
        colour = style.shade if row < planned.heads else style.stripe if (row - planned.heads) % 2 else None
        if colour is not None:
            box = (margin, ys[row] + margin, xs[-1] + margin, ys[row + 1] + margin)
            paper.draw.rectangle(box, colour)


def _rules(paper: Paper, planned: Planned, style: Style, cell: Cell, box: tuple[int, int, int, int]) -> None:
    """Those that a cell has around it."""
    x0, y0, x1, y1 = box
    table = planned.table
    first, last = cell.row == 0, cell.row + cell.rows == table.rows
    below_head = cell.row + cell.rows == planned.heads
    if style.across == "all" or (first and style.across == "book"):
        paper.rule(x0, y0, x1, y0, style.ink, style.thick)
    if style.across == "all" or (style.across in ("head", "book") and below_head) or (style.across == "book" and last):
        paper.rule(x0, y1, x1, y1, style.ink, style.thick)
    at_left, at_right = cell.column == 0, cell.column + cell.columns == table.columns
    if style.down == "all" or (style.down == "outer" and at_left) or (style.down == "inner" and not at_left):
        paper.rule(x0, y0, x0, y1, style.ink, style.thick)
    if style.down in ("all", "outer") and at_right:
        paper.rule(x1, y0, x1, y1, style.ink, style.thick)
