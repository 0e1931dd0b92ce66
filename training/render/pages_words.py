"""Words in lines, measured by their ink, and drawn.

A letter is drawn once for each face and size, words are put together of letters and then stamped: to draw costs much
more than to copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from training.render.blocks import Words, around
from training.render.typeset import Box, Colour
from training.world import Face

Align = Literal["left", "right", "centre", "justified"]


@dataclass(frozen=True)
class Stamp:
    """Ink, how far it is from where it begins, and how far what follows is."""

    mask: Image.Image
    left: int
    top: int
    advance: float


@lru_cache(8192)  # some hundred bytes each
def stamp(face: Face, size: int, word: str) -> Stamp:
    at, glyphs = 0.0, []
    for index, letter in enumerate(word):
        at += nearer(face, size, word[index - 1 : index + 1]) if index else 0.0
        found = glyph(face, size, letter)
        glyphs.append((round(at) + found.left, found))
        at += found.advance
    left, top = min(x for x, _ in glyphs), min(found.top for _, found in glyphs)
    right = max(x + found.mask.width for x, found in glyphs)
    bottom = max(found.top + found.mask.height for _, found in glyphs)
    mask = Image.new("L", (right - left, bottom - top), 0)
    for x, found in glyphs:
        mask.paste(255, (x - left, found.top - top), found.mask)
    return Stamp(mask, left, top, at)


@lru_cache(16384)
def glyph(face: Face, size: int, letter: str) -> Stamp:
    font = face.at(size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(letter, anchor="la"))
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)), 0)
    ImageDraw.Draw(mask).text((-left, -top), letter, 255, font, anchor="la")
    ink = mask.getbbox()
    if ink is not None:
        mask, left, top = mask.crop(ink), left + ink[0], top + ink[1]
    return Stamp(mask, left, top, float(font.getlength(letter)))


@lru_cache(65536)
def nearer(face: Face, size: int, pair: str) -> float:
    """How much the second of two letters is moved for the sake of the first: kerning."""
    alone = sum(glyph(face, size, letter).advance for letter in pair)
    return float(face.at(size).getlength(pair)) - alone


@lru_cache(1024)
def space(face: Face, size: int) -> float:
    return float(face.at(size).getlength(" "))


def extent(face: Face, size: int, text: str) -> float:
    """How long a line of that text is."""
    words = text.split()
    return sum(stamp(face, size, word).advance for word in words) + space(face, size) * max(0, len(words) - 1)


@dataclass(frozen=True)
class Measured:
    """A line of whole words, and how long it is."""

    words: tuple[str, ...]
    long: float


def lines_of(face: Face, size: int, text: str, width: int, indent: int = 0) -> list[Measured]:
    """As many words in each as fit, the first of them set in; what is longer than a line is cut."""
    gap = space(face, size)
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
    gap = space(face, size)
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
        x, y = line.x + at + found.left, line.y + found.top
        boxes.append((x, y, x + found.mask.width, y + found.mask.height))
    return around(boxes)


def write(draw: ImageDraw.ImageDraw, line: Words) -> None:
    for at, word in line.words:
        found = stamp(line.face, line.size, word)
        draw.bitmap((line.x + at + found.left, line.y + found.top), found.mask, line.colour)
