"""A sheet as data: what is printed where. Only `draw` makes pixels of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from training.render.typeset import Paper, width_of
from training.samples import Pixels
from training.world import Face

Colour = tuple[int, int, int]
Align = Literal["left", "centre", "right"]


@dataclass(frozen=True)
class Type:
    face: Face
    size: int
    colour: Colour

    def width(self, text: str) -> int:
        return _width(self, text)

    @property
    def ascent(self) -> int:
        return self.face.at(self.size).getmetrics()[0]

    @property
    def height(self) -> int:
        return sum(self.face.at(self.size).getmetrics())

    def shows(self, text: str) -> bool:
        return all(character.isascii() or _has_glyph(_plain(self.face, 32), character) for character in text)


def _plain(face: Face, size: int) -> Type:
    return Type(face, size, (0, 0, 0))


@lru_cache(maxsize=4096)
def _width(kind: Type, text: str) -> int:
    return int(width_of(kind.face, kind.size, text)) + 1


@lru_cache(maxsize=4096)
def _black(kind: Type, text: str) -> tuple[int, int, int, int]:
    left, top, right, bottom = kind.face.at(kind.size).getbbox(text)
    return int(left), int(top), int(right), int(bottom)


@lru_cache(maxsize=4096)
def _x_height(kind: Type) -> int:
    _, top, _, bottom = kind.face.at(kind.size).getbbox("x")
    return max(int(bottom - top), kind.size // 5)


@lru_cache(maxsize=65536)
def _has_glyph(kind: Type, character: str) -> bool:
    """Whether the font has it, rather than the box that stands for what is missing."""
    font = kind.face.at(kind.size)
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010fffe"))


def typed(face: Face, x_height: float, colour: Colour) -> Type:
    """The size at which a small x is so many pixels high."""
    return Type(face, max(12, round(x_height * 100 / _x_height(_plain(face, 100)))), colour)


@dataclass(frozen=True)
class Ink:
    """Text whose ascenders begin at y."""

    x: int
    y: int
    text: str
    type: Type

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is black."""
        left, top, right, bottom = _black(self.type, self.text)
        return self.x + left, self.y + top, self.x + right, self.y + bottom


@dataclass(frozen=True)
class Bar:
    """A filled rectangle, with round corners if wanted."""

    x: int
    y: int
    right: int
    bottom: int
    colour: Colour
    radius: int = 0


@dataclass(frozen=True)
class Frame:
    x: int
    y: int
    right: int
    bottom: int
    colour: Colour
    thick: int = 1
    radius: int = 0


@dataclass(frozen=True)
class Dashes:
    """A broken line; `dash` and `gap` in pixels."""

    x: int
    y: int
    right: int
    colour: Colour
    dash: int = 6
    gap: int = 4
    thick: int = 1


@dataclass(frozen=True)
class Stroke:
    """A line between points, as of a pen."""

    points: tuple[tuple[int, int], ...]
    colour: Colour
    thick: int = 2


Mark = Ink | Bar | Frame | Dashes | Stroke


@dataclass
class Sheet:
    """Takes marks one after the other; `height` is set when it is known."""

    width: int
    colour: Colour
    height: int = 0
    marks: list[Mark] = field(default_factory=list)

    def text(self, x: int, y: int, text: str, kind: Type, align: Align = "left") -> int:
        """Where x is the text's left, middle or right. Gives its width."""
        width = kind.width(text)
        left = x if align == "left" else x - width if align == "right" else x - width // 2
        self.marks.append(Ink(left, y, text, kind))
        return width

    def texts(self, x: int, y: int, lines: tuple[str, ...] | list[str], kind: Type, align: Align = "left") -> int:
        """One below the other. Gives the bottom."""
        for line in lines:
            self.text(x, y, line, kind, align)
            y += leading(kind)
        return y

    def rule(self, x: int, y: int, right: int, colour: Colour, thick: int = 1, broken: bool = False) -> None:
        if broken:
            self.marks.append(Dashes(x, y, right, colour, thick=thick))
        else:
            self.marks.append(Bar(x, y, right, y + thick - 1, colour))

    @property
    def inks(self) -> list[Ink]:
        return [mark for mark in self.marks if isinstance(mark, Ink)]


def are_apart(boxes: list[tuple[int, int, int, int]]) -> bool:
    """Whether none of them covers a part of another one, but for a pixel's width."""
    boxes = sorted(boxes, key=lambda box: box[1])
    for index, (left, _, right, bottom) in enumerate(boxes):
        for other_left, other_top, other_right, _ in boxes[index + 1 :]:
            if other_top >= bottom - 1:
                break
            if left < other_right - 1 and other_left < right - 1:
                return False
    return True


def leading(kind: Type) -> int:
    """From one line to the next."""
    return round(kind.height * 1.12)


def bars(sheet: Sheet, rng: random.Random, x: int, y: int, right: int, bottom: int, colour: Colour) -> None:
    """A bar code that says nothing."""
    while x < right - 8:
        width = rng.choice((1, 2, 2, 3, 4))
        sheet.marks.append(Bar(x, y, x + width - 1, bottom, colour))
        x += width + rng.choice((2, 2, 3, 4))


def squares(sheet: Sheet, rng: random.Random, x: int, y: int, side: int, colour: Colour) -> None:
    """A square code that says nothing."""
    step = max(3, side // 21)
    count = side // step
    for row in range(count):
        chance = rng.getrandbits(count)
        for column in range(count):
            if chance >> column & 1:
                left, top = x + column * step, y + row * step
                sheet.marks.append(Bar(left, top, left + step - 1, top + step - 1, colour))


def draw(sheet: Sheet) -> Pixels:
    paper = Paper(sheet.width, sheet.height, sheet.colour)
    for mark in sheet.marks:
        _draw(paper, mark)
    return paper.pixels()


def _draw(paper: Paper, mark: Mark) -> None:
    if isinstance(mark, Ink):
        paper.text(mark.x, mark.y, mark.text, mark.type.face, mark.type.size, mark.type.colour)
    elif isinstance(mark, Bar):
        box = (mark.x, mark.y, mark.right, mark.bottom)
        if mark.radius:
            paper.draw.rounded_rectangle(box, mark.radius, fill=mark.colour)
        else:
            paper.draw.rectangle(box, fill=mark.colour)
    elif isinstance(mark, Frame):
        box = (mark.x, mark.y, mark.right, mark.bottom)
        paper.draw.rounded_rectangle(box, mark.radius, outline=mark.colour, width=mark.thick)
    elif isinstance(mark, Dashes):
        for x in range(mark.x, mark.right - mark.dash + 1, mark.dash + mark.gap):
            paper.draw.rectangle((x, mark.y, x + mark.dash - 1, mark.y + mark.thick - 1), fill=mark.colour)
    else:
        paper.draw.line(mark.points, fill=mark.colour, width=mark.thick)
