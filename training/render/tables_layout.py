"""Tables, laid out: how they look, and where everything in them is drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.render.blocks import Mark, Shape, Words, around
from training.render.otsl import Cell
from training.render.pages_words import Align, Measured, extent, ink, lines_of, placed, stamp
from training.render.tables_plan import Planned
from training.render.typeset import Box, Colour
from training.world import Face, World

_LEADING = 1.25


@dataclass(frozen=True)
class Style:
    """How a table is drawn."""

    face: Face
    head: Face
    strong: Face
    size: int
    ink: Colour
    paper: Colour
    rule: Colour
    across: str  # rules: "all", "head", "book", "sums" or "none"
    down: str  # "all", "outer", "inner" or "none"
    thick: int
    heavy: int  # of the rules around the head
    shade: Colour | None  # behind the head
    head_ink: Colour
    stripe: Colour | None  # behind every other row
    pad: tuple[int, int]  # at the sides, and above and below
    middle: bool  # cells stand in the middle of their rows


@dataclass(frozen=True)
class Laid:
    """From (0, 0) on; `box` is around the ink."""

    marks: tuple[Mark, ...]
    width: int
    height: int
    box: Box


def make_style(rng: random.Random, world: World) -> Style:
    face = world.fonts.pick(rng, "body" if rng.random() < 0.85 else "any")
    strong = world.fonts.styled(face, True, False)
    dark = rng.randint(0, 70)
    colour = (dark, dark, dark if rng.random() < 0.8 else min(255, dark + 60))
    across, down = rng.choice((("all", "all"), ("all", "all"), ("head", "none"), ("book", "none"), ("all", "none"),
                               ("none", "none"), ("head", "inner"), ("all", "outer"), ("sums", "none")))  # fmt: skip
    thick = rng.choice((1, 1, 1, 2, 3))
    shade = pale(rng) if rng.random() < 0.35 else None
    head_ink = colour
    if rng.random() < 0.1:  # white on something dark
        shade, head_ink = (rng.randint(10, 90), rng.randint(10, 90), rng.randint(20, 120)), (255, 255, 255)
    return Style(
        face, strong if rng.random() < 0.6 else face, strong, round(14 * (30 / 14) ** rng.random()), colour,
        (255, 255, 255) if rng.random() < 0.75 else pale(rng),
        colour if rng.random() < 0.6 else (rng.randint(90, 190),) * 3, across, down, thick,
        thick if rng.random() < 0.5 else thick + rng.randint(1, 2), shade, head_ink,
        pale(rng) if rng.random() < 0.18 else None, (rng.randint(6, 26), rng.randint(2, 12)), rng.random() < 0.5,
    )  # fmt: skip


def pale(rng: random.Random) -> Colour:
    return rng.randint(205, 250), rng.randint(205, 250), rng.randint(205, 250)


def lay(rng: random.Random, planned: Planned, style: Style, widest: int) -> Laid | None:
    """None for what cannot be that narrow without cutting a word, or would be too high for its rows."""
    style = suited(style, planned)
    table, size = planned.table, style.size
    high = round(size * _LEADING)
    faces = [_face(planned, style, cell) for cell in table.cells]
    xs = _edges(_widths(rng, planned, style, faces))
    if xs[-1] + style.heavy > widest:
        return None
    lines = []
    for cell, face in zip(table.cells, faces, strict=True):
        room = xs[cell.column + cell.columns] - xs[cell.column] - 2 * style.pad[0] - _indent(planned, style, cell)
        if any(stamp(face, size, word).advance > room for word in cell.text.split()):
            return None
        lines.append(lines_of(face, size, cell.text, room))
    heights = [high + 2 * style.pad[1]] * table.rows
    for cell, found in sorted(zip(table.cells, lines, strict=True), key=lambda pair: pair[0].rows):
        missing = len(found) * high + 2 * style.pad[1] - sum(heights[cell.row : cell.row + cell.rows])
        if missing > 0:
            heights[cell.row + cell.rows - 1] += missing
    ys = _edges(heights)
    marks: list[Mark] = [*_grounds(planned, style, xs, ys), *_rules(planned, style, xs, ys)]
    tails = [_tail(planned, style, faces, column) for column in range(table.columns)]
    for cell, face, found in zip(table.cells, faces, lines, strict=True):
        box = (xs[cell.column], ys[cell.row], xs[cell.column + cell.columns], ys[cell.row + cell.rows])
        marks += _written(planned, style, cell, face, found, box, tails[cell.column])
    inked = [ink(mark) if isinstance(mark, Words) else mark.box for mark in marks if isinstance(mark, Words | Shape)]
    if not inked:
        return None
    return Laid(tuple(marks), xs[-1] + style.heavy, ys[-1] + style.heavy, around(inked))


def suited(style: Style, planned: Planned) -> Style:
    """With rules all around, where a cell of the body is over several places: else nobody could see that it is."""
    merged = any(cell.row >= planned.heads and cell.rows * cell.columns > 1 for cell in planned.table.cells)
    return replace(style, across="all", down="all") if merged else style


def _face(planned: Planned, style: Style, cell: Cell) -> Face:
    if cell.row < planned.heads or (planned.turned and cell.column == 0):
        return style.head
    return style.strong if cell.row in planned.strong else style.face


def _indent(planned: Planned, style: Style, cell: Cell) -> int:
    return style.size if cell.row in planned.deep and cell.column == 0 else 0


def _edges(sizes: Sequence[int]) -> list[int]:
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    return edges


def _widths(rng: random.Random, planned: Planned, style: Style, faces: Sequence[Face]) -> list[int]:
    """Of columns: what the widest cell wants, but long texts are broken into lines."""
    widest = rng.randint(110, 260)
    widths = [20] * planned.table.columns
    for cell, face in zip(planned.table.cells, faces, strict=True):
        if cell.columns > 1 or not cell.text:
            continue
        word = max(stamp(face, style.size, word).advance for word in cell.text.split())
        wanted = max(word, min(widest, extent(face, style.size, cell.text))) + _indent(planned, style, cell)
        widths[cell.column] = max(widths[cell.column], int(wanted) + 2)
    extra = rng.choice((0, 0, 10, 40))
    widths = [width + 2 * style.pad[0] + extra for width in widths]
    for cell, face in zip(planned.table.cells, faces, strict=True):  # what spans columns may need more than they have
        if cell.columns > 1 and cell.text:
            span = slice(cell.column, cell.column + cell.columns)
            word = max(stamp(face, style.size, word).advance for word in cell.text.split()) + 2 * style.pad[0] + 2
            missing = int(word) + 1 - sum(widths[span])
            if missing > 0:
                widths[cell.column] += missing
    return widths


def _tail(planned: Planned, style: Style, faces: Sequence[Face], column: int) -> float:
    """The most that stands behind a decimal point of that column."""
    return max(
        (
            _behind(face, style.size, cell.text)
            for cell, face in zip(planned.table.cells, faces, strict=True)
            if cell.column == column and cell.columns == 1 and cell.row >= planned.heads and cell.text
        ),
        default=0.0,
    )


def _behind(face: Face, size: int, text: str) -> float:
    """From the decimal point on, or from behind the last digit."""
    last = max((index for index, letter in enumerate(text) if letter.isdigit()), default=len(text) - 1)
    point = text.rfind(".")
    return extent(face, size, text[point if point >= 0 else last + 1 :])


def _written(
    planned: Planned, style: Style, cell: Cell, face: Face, lines: Sequence[Measured], box: Box, tail: float
) -> list[Words]:
    x0, y0, x1, y1 = box
    size, high = style.size, round(style.size * _LEADING)
    used = len(lines) * high
    head = cell.row < planned.heads
    middle = style.middle or head
    y = y0 + (y1 - y0 - used) // 2 if middle else y0 + style.pad[1]
    colour = style.head_ink if head and style.shade is not None else style.ink
    fit = planned.fits[cell.column]
    align: Align = "right" if fit == "point" else fit
    if cell.columns > 1:
        align = "left" if cell.row in planned.strong else "centre"
    indent = _indent(planned, style, cell)
    room = x1 - x0 - 2 * style.pad[0] - indent
    shift = 0.0
    if fit == "point" and not head and cell.columns == 1 and len(lines) == 1:
        shift = min(tail - _behind(face, size, cell.text), room - lines[0].long)
    x = x0 + style.pad[0] + indent - round(max(0.0, shift))
    return [
        placed(line, face, size, colour, x, y + index * high, room, align)
        for index, line in enumerate(lines)
    ]  # fmt: skip


def _grounds(planned: Planned, style: Style, xs: Sequence[int], ys: Sequence[int]) -> list[Shape]:
    shapes = []
    for row in range(planned.table.rows):
        colour = style.shade if row < planned.heads else style.stripe if (row - planned.heads) % 2 else None
        if colour is not None:
            shapes.append(Shape((0, ys[row], xs[-1], ys[row + 1]), colour))
    return shapes


def _rules(planned: Planned, style: Style, xs: Sequence[int], ys: Sequence[int]) -> list[Shape]:
    """Those that cells have around them; none goes through a cell."""
    rules = []
    table = planned.table
    for cell in table.cells:
        x0, x1 = xs[cell.column], xs[cell.column + cell.columns]
        y0, y1 = ys[cell.row], ys[cell.row + cell.rows]
        end = cell.row + cell.rows
        above = cell.row == 0 and style.across in ("all", "book")
        under_head = end == planned.heads and style.across != "none"
        below = under_head or style.across == "all" or (style.across == "book" and end == table.rows)
        sums = style.across == "sums" and cell.row in planned.strong and cell.columns == 1
        if above or sums:
            rules.append(_across(style, x0, x1, y0, style.heavy if above else style.thick))
        if below:
            rules.append(_across(style, x0, x1, y1, style.heavy if under_head or end == table.rows else style.thick))
        elif cell.columns > 1 and end < planned.heads and style.across in ("head", "book"):  # under a group's name
            rules.append(_across(style, x0 + style.pad[0] // 2, x1 - style.pad[0] // 2, y1, style.thick))
        at_left, at_right = cell.column == 0, cell.column + cell.columns == table.columns
        if style.down == "all" or (style.down == "outer" and at_left) or (style.down == "inner" and not at_left):
            rules.append(_down(style, x0, y0, y1))
        if style.down in ("all", "outer") and at_right:
            rules.append(_down(style, x1, y0, y1))
    return rules


def _across(style: Style, x0: int, x1: int, y: int, thick: int) -> Shape:
    return Shape((x0, y, x1 + (style.thick if style.down in ("all", "outer") else 0), y + thick), style.rule)


def _down(style: Style, x: int, y0: int, y1: int) -> Shape:
    return Shape((x, y0, x + style.thick, y1), style.rule)
