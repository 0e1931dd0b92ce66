"""A page as data: what is drawn where, and the blocks that a reader is to find on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from training.render.typeset import Box, Colour
from training.samples import Pixels
from training.world import Face


@dataclass(frozen=True)
class Words:
    """A line of text: each word, and how far it is from the line's beginning. Ascenders begin at y."""

    x: int
    y: int
    words: tuple[tuple[int, str], ...]
    face: Face
    size: int
    colour: Colour


@dataclass(frozen=True)
class Shape:
    """A filled rectangle, and perhaps its edge inside it. A rule is a thin one."""

    box: Box
    fill: Colour | None
    edge: Colour | None = None
    thick: int = 1
    corner: int = 0  # pixels that are rounded off


@dataclass(frozen=True)
class Picture:
    x: int
    y: int
    pixels: Pixels = field(compare=False, repr=False)


Mark = Words | Shape | Picture


@dataclass(frozen=True)
class Block:
    kind: str
    box: Box
    text: str = ""  # where it is text: all that stands in it; of a table, its OTSL


@dataclass(frozen=True)
class Page:
    """Planned: marks in the order in which they are drawn, blocks in the order in which they are read."""

    width: int
    height: int
    colour: Colour
    marks: tuple[Mark, ...]
    blocks: tuple[Block, ...]


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around some."""
    left, tops, right, bottoms = zip(*boxes, strict=True)
    return min(left), min(tops), max(right), max(bottoms)


def apart(one: Box, other: Box) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def moved(mark: Mark, x: int, y: int) -> Mark:
    if isinstance(mark, Shape):
        x0, y0, x1, y1 = mark.box
        return replace(mark, box=(x0 + x, y0 + y, x1 + x, y1 + y))
    return replace(mark, x=mark.x + x, y=mark.y + y)
