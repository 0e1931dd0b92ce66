"""Words in lines, measured by their ink, and drawn.

Words are put together of letters once for each face and size, and then stamped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from training.render.blocks import Words, around
from training.render.glyphs import Stamp, letters, line_of, together
from training.render.typeset import Box, Colour
from training.world import Face

Align = Literal["left", "right", "centre", "justified"]


@lru_cache(8192)  # some hundred bytes each
def stamp(face: Face, size: int, word: str) -> Stamp:
    return line_of(face, size, word)


def extent(face: Face, size: int, text: str) -> float:
    """How long a line of that text is."""
    words = text.split()
    return sum(stamp(face, size, word).advance for word in words) + letters(face, size).space * max(0, len(words) - 1)


@dataclass(frozen=True)
class Measured:
    """A line of whole words, and how long it is."""

    words: tuple[str, ...]
    long: float


def lines_of(face: Face, size: int, text: str, width: int, indent: int = 0) -> list[Measured]:
    """As many words in each as fit, the first of them set in; what is longer than a line is cut."""
    gap = letters(face, size).space
    lines: list[Measured] = []
    words: list[str] = []
    used, room = 0.0, width - indent
    for whole in text.split():
        fits = stamp(face, size, whole).advance <= width - indent
        for word in (whole,) if fits else cut(face, size, whole, width - indent):
            long = stamp(face, size, word).advance
            if words and used + gap + long > room:
                lines.append(Measured(tuple(words), used))
                words, used, room = [], 0.0, width
            used += long + (gap if words else 0.0)
            words.append(word)
    return [*lines, Measured(tuple(words), used)] if words else lines


def cut(face: Face, size: int, word: str, width: int) -> list[str]:
    """Pieces that are no longer than a line, of one character at least."""
    font: ImageFont.FreeTypeFont = face.at(size)
    pieces = []
    while len(word) > 1 and font.getlength(word) > width:
        fits = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= width), 1)
        pieces.append(word[:fits])
        word = word[fits:]
    return [*pieces, word]


def placed(
    line: Measured, face: Face, size: int, colour: Colour, x: int, y: int, width: float, align: Align
) -> Words:  # fmt: skip
    """A line that begins at x and has `width` to stand in; justified, its words fill it."""
    gap = letters(face, size).space
    slack = width - line.long
    if align == "justified" and len(line.words) > 1:
        gap += slack / (len(line.words) - 1)
    start = x + round({"right": slack, "centre": slack / 2}.get(align, 0.0))
    at, words = 0.0, []
    for word in line.words:
        words.append((round(at), word))
        at += stamp(face, size, word).advance + gap
    return Words(start, y, tuple(words), face, size, colour)


def ink(line: Words) -> Box:
    """The box of what is drawn."""
    boxes = []
    for at, word in line.words:
        found = stamp(line.face, line.size, word)
        x = line.x + at
        boxes.append((x + found.left, line.y + found.top, x + found.right, line.y + found.bottom))
    return around(boxes)


def write(draw: ImageDraw.ImageDraw, line: Words) -> None:
    mask, left, top = together([(at, stamp(line.face, line.size, word)) for at, word in line.words])
    draw.bitmap((line.x + left, line.y + top), Image.fromarray(mask), line.colour)
