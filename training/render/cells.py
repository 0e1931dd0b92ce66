"""A label and a value, put together in one of the ways that forms, cards and tickets do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from training.render.fields import Field
from training.render.looks import Look
from training.render.sheets import Bar, Colour, Dashes, Frame, Sheet, Stroke, Type, leading

Place = Literal["above", "left", "inside", "foot", "below", "axis", "table"]
BOXED = ("inside", "foot")  # labels at the top, and at the bottom, of a box
Border = Literal["none", "line", "dots", "box", "fill"]


@dataclass(frozen=True)
class Cell:
    """`place` of the label: `axis` has labels flush right against the values, `table` has both in ruled boxes."""

    place: Place
    border: Border
    label: Type
    value: Type
    colon: str
    colour: Colour
    tint: Colour
    pad: int

    def name(self, field: Field) -> str:
        return field.label + self.colon

    @property
    def beside(self) -> bool:
        return self.place in ("left", "axis", "table")

    def label_width(self, fields: Sequence[Field]) -> int:
        """What labels beside values take of the width."""
        if not self.beside:
            return 0
        return max((self.label.width(self.name(field)) for field in fields), default=0) + 2 * self.pad

    def needs(self, field: Field, label_width: int) -> int:
        """Pixels of width."""
        value = max(self.value.width(line) for line in field.value.split("\n")) + 2 * self.pad + 2
        return label_width + value if self.beside else max(value, self.label.width(self.name(field)) + 2 * self.pad)

    def height(self, field: Field) -> int:
        values = leading(self.value) * (field.value.count("\n") + 1) + self.pad
        if self.beside:
            return max(values, leading(self.label) + self.pad)
        return values + leading(self.label) + (self.pad if self.place in BOXED else 0)


def cell_style(rng: random.Random, look: Look, place: Place, border: Border | None = None) -> Cell:
    borders: dict[Place, tuple[Border, ...]] = {"inside": ("box",), "foot": ("box", "fill"), "below": ("line", "dots")}
    anyhow: tuple[Border, ...] = ("none", "line", "dots", "box", "fill")
    chosen = rng.choice(borders.get(place, anyhow)) if border is None or place == "below" else border
    label = look.small(rng.choice((look.ink, look.ink, look.accent)))
    if place in ("above", *BOXED, "below"):  # small labels, but not below what can be read
        label = Type(label.face, max(round(label.size * 0.92), 14), label.colour)
    colon = ":" if place in ("left", "axis") and rng.random() < 0.6 else ""
    pad = rng.randrange(5, 10)
    return Cell(place, chosen, label, look.value(rng.uniform(1.0, 1.3)), colon, look.faint, look.pale, pad)


def place_cell(
    sheet: Sheet, style: Cell, field: Field, x: int, y: int, right: int, bottom: int, label_width: int
) -> None:
    """Draws it between x and right, y and bottom."""
    lines = field.value.split("\n")
    name, pad = style.name(field), style.pad
    if style.place == "table":
        sheet.marks.append(Bar(x, y, x + label_width, bottom, style.tint))
        sheet.marks.append(Frame(x, y, x + label_width, bottom, style.colour))
        sheet.marks.append(Frame(x + label_width, y, right, bottom, style.colour))
    left = x + label_width if style.beside else x
    if style.beside:
        top, name_top = _on_one_line(style, y + pad // 2)
        at = x + label_width - pad if style.place == "axis" else x + (pad if style.place == "table" else 0)
        sheet.text(at, name_top, name, style.label, "right" if style.place == "axis" else "left")
        _border(sheet, style, left, y, right, bottom)
    elif style.place == "above":
        sheet.text(x, y, name, style.label)
        top = y + leading(style.label) + pad // 2
        _border(sheet, style, left, y + leading(style.label), right, bottom)
    elif style.place == "inside":
        _border(sheet, style, x, y, right, bottom)
        sheet.text(x + pad, y + pad // 2, name, style.label)
        top = y + pad // 2 + leading(style.label) + pad // 2
    elif style.place == "foot":
        _border(sheet, style, x, y, right, bottom)
        sheet.text(x + pad, bottom - leading(style.label) - pad // 2, name, style.label)
        top = y + pad // 2
    else:
        top = y + pad // 2
        under = bottom - leading(style.label)
        _border(sheet, style, x, y, right, under)
        sheet.text(x, under + 2, name, style.label)
    indent = 0 if style.border in ("none", "line", "dots") and style.place not in (*BOXED, "table") else pad
    sheet.texts(left + indent, top, lines, style.value)


def _on_one_line(style: Cell, y: int) -> tuple[int, int]:
    """Tops of the value and of the label, so that both stand on one line."""
    ascent = max(style.value.ascent, style.label.ascent)
    return y + ascent - style.value.ascent, y + ascent - style.label.ascent


def _border(sheet: Sheet, style: Cell, x: int, y: int, right: int, bottom: int) -> None:
    if style.border == "line":
        sheet.rule(x, bottom, right, style.colour)
    elif style.border == "dots":
        sheet.marks.append(Dashes(x, bottom, right, style.colour, 2, 3))
    elif style.border == "fill":
        sheet.marks.append(Bar(x, y, right, bottom, style.tint))
    elif style.border == "box" and style.place != "table":
        sheet.marks.append(Frame(x, y, right, bottom, style.colour))


def grid(
    sheet: Sheet, style: Cell, fields: Sequence[Field], x: int, y: int, right: int, columns: int, gap: int
) -> tuple[int, list[Field]]:
    """Fields in rows of so many columns; what is too wide for its column gets a row of its own, or is left out.

    Gives the bottom, and the fields that were placed.
    """
    width = right - x
    columns = max(1, columns)
    step = 0 if (style.place in BOXED and style.border == "box") or style.place == "table" else gap
    column = (width - step * (columns - 1)) // columns
    label_width = style.label_width(fields)
    rows: list[list[Field]] = []
    for field in fields:
        needed = style.needs(field, label_width)
        if needed > width:
            continue
        wide = needed > column
        if not rows or wide or len(rows[-1]) == columns or style.needs(rows[-1][0], label_width) > column:
            rows.append([])
        rows[-1].append(field)
    for row in rows:
        height = max(style.height(field) for field in row)
        share = width if style.needs(row[0], label_width) > column else column
        if len(row) < columns and step == 0:
            share = (width - step * (len(row) - 1)) // len(row)
        for index, field in enumerate(row):
            left = x + index * (share + step)
            place_cell(sheet, style, field, left, y, left + share, y + height, label_width)
        y += height + (step and gap // 2 + 2)
    return y, [field for row in rows for field in row]


@dataclass(frozen=True)
class Choice:
    """A question with boxes, of which one is ticked: the field's value is what stands beside that one."""

    field: Field
    options: tuple[str, ...]


def choices(rng: random.Random, sheet: Sheet, look: Look, choice: Choice, x: int, y: int, right: int) -> int | None:
    """The bottom; None, with nothing drawn, where it does not fit into the width."""
    small, side = look.small(), round(look.x_height * 1.5)
    widths = [side + 8 + small.width(option) + 22 for option in choice.options]
    label = small.width(choice.field.label + ":") + 18
    beside = label + sum(widths) <= right - x
    if sum(widths) > right - x or small.width(choice.field.label) > right - x:
        return None
    sheet.text(x, y, choice.field.label + ":", small)
    at = x + label if beside else x
    y += 0 if beside else leading(small)
    mark = rng.choice(("cross", "tick", "fill"))
    top = y + small.ascent - side + 1
    for option, width in zip(choice.options, widths, strict=True):
        sheet.marks.append(Frame(at, top, at + side, top + side, look.ink))
        if option == choice.field.value:
            _tick(rng, sheet, look, mark, at, top, side)
        sheet.text(at + side + 8, y, option, small)
        at += width
    return y + leading(small) + 6


def _tick(rng: random.Random, sheet: Sheet, look: Look, mark: str, x: int, y: int, side: int) -> None:
    over = rng.randrange(0, 4)
    low, high = -over, side + over
    if mark == "fill":
        sheet.marks.append(Bar(x + 3, y + 3, x + side - 3, y + side - 3, look.pen))
    elif mark == "cross":
        sheet.marks.append(Stroke(((x + low, y + low), (x + high, y + high)), look.pen))
        sheet.marks.append(Stroke(((x + low, y + high), (x + high, y + low)), look.pen))
    else:
        points = ((x + 2, y + side // 2), (x + side // 2, y + side - 2), (x + side + over, y - 3 - over))
        sheet.marks.append(Stroke(points, look.pen))
