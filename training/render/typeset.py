"""Paper, and text that is set on it line by line."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from training.render.glyphs import length_of, line_of
from training.samples import Pixels
from training.world import Face

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1, in pixels of the paper
Align = Literal["left", "right", "centre", "justified"]


@dataclass(frozen=True)
class Line:
    """What was drawn in one go; the box is that of its ink."""

    text: str
    box: Box


class Paper:
    def __init__(self, width: int, height: int, colour: Colour = (255, 255, 255)) -> None:
        self.width, self.height, self.colour = width, height, colour
        self._image = Image.new("RGB", (width, height), colour)
        self.draw = ImageDraw.Draw(self._image)

    def pixels(self) -> Pixels:
        return np.asarray(self._image).copy()

    def cut(self, box: Box) -> Pixels:
        """What is in a box, as far as it lies on the paper."""
        x0, y0, x1, y1 = box
        return np.asarray(self._image.crop((max(0, x0), max(0, y0), min(self.width, x1), min(self.height, y1))))

    def paste(self, pixels: Pixels, x: int, y: int) -> None:
        self._image.paste(Image.fromarray(pixels), (x, y))

    def text(self, x: int, y: int, text: str, face: Face, size: int, colour: Colour = (0, 0, 0)) -> Box:
        """Ascenders begin at y. Returns the box of the ink, which is empty for spaces alone."""
        found = line_of(face, size, text)
        if found.mask.size:
            self.draw.bitmap((x + found.left, y + found.top), Image.fromarray(found.mask), colour)
        right = max(found.right, math.ceil(found.advance))
        return x + min(0, found.left), y + found.top, x + right, y + found.bottom

    def rule(self, x0: int, y0: int, x1: int, y1: int, colour: Colour = (0, 0, 0), width: int = 1) -> None:
        """A straight line."""
        self.draw.line((x0, y0, x1, y1), colour, width)


_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "•": "-", "€": "EUR", "£": "GBP"})


def shown(face: Face, text: str) -> str:
    """The text, or where the font lacks some of it, the same in plain letters and signs. One space at a time."""
    text = " ".join(text.split())
    if face.shows(text):
        return text
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN)).encode("ascii", "ignore").decode()
    return " ".join(plain.split())


def width_of(face: Face, size: int, text: str) -> float:
    return length_of(face, size, text)


@lru_cache(16384)
def _width_of_word(face: Face, size: int, word: str) -> float:
    return width_of(face, size, word)


def wrap(face: Face, size: int, text: str, width: int) -> list[str]:
    """Lines of whole words, as many in each as fit; a word that is longer than a line is cut."""
    space = width_of(face, size, " ")
    lines: list[str] = []
    words: list[str] = []
    used = 0.0
    for word in text.split():
        for piece in _cut(face, size, word, width):
            long = _width_of_word(face, size, piece)
            if words and used + space + long > width:
                lines.append(" ".join(words))
                words, used = [], 0.0
            used += (space if words else 0.0) + long
            words.append(piece)
    return [*lines, " ".join(words)] if words else lines


def _cut(face: Face, size: int, word: str, width: int) -> list[str]:
    """Pieces that are no longer than a line, of one character at least."""
    pieces = []
    while len(word) > 1 and _width_of_word(face, size, word) > width:
        fits = next((n for n in range(len(word) - 1, 1, -1) if width_of(face, size, word[:n]) <= width), 1)
        pieces.append(word[:fits])
        word = word[fits:]
    return [*pieces, word]


def typeset(
    paper: Paper, text: str, face: Face, size: int, x: int, y: int, width: int, leading: float = 1.3,
    align: Align = "left", colour: Colour = (0, 0, 0), indent: int = 0, most_lines: int | None = None,
) -> list[Line]:  # fmt: skip
    """Draw text in lines that begin at (x, y) and are `leading * size` apart; the first is set in by `indent`, or hangs
    out where that is negative.

    What does not fit into `most_lines` is not drawn.
    """
    lines = _with_indent(face, size, text, width, indent)
    drawn = []
    for index, line in enumerate(lines[:most_lines]):
        start, room = (x + indent, width - indent) if index == 0 else (x, width)
        top = y + round(index * leading * size)
        last = index == len(lines) - 1
        kept: Align = "left" if align == "justified" and last else align
        drawn.append(set_line(paper, line, face, size, start, top, room, kept, colour))
    return drawn


def set_line(
    paper: Paper, line: str, face: Face, size: int, x: int, y: int, width: int, align: Align, colour: Colour = (0, 0, 0)
) -> Line:  # fmt: skip
    """Draw what is known to fit. Justified words are spread over the whole width."""
    if align == "justified" and " " in line:
        return _justified(paper, line, face, size, x, y, width, colour)
    slack = width - width_of(face, size, line)
    shift = {"right": slack, "centre": slack / 2}.get(align, 0.0)
    return Line(line, paper.text(x + round(shift), y, line, face, size, colour))


def _with_indent(face: Face, size: int, text: str, width: int, indent: int) -> list[str]:
    if indent == 0:
        return wrap(face, size, text, width)
    first = wrap(face, size, text, width - indent)[:1]
    # a word that was cut goes on with what is left of it
    rest = text_after(text, first)
    return [*first, *wrap(face, size, rest, width)] if rest else first


def text_after(text: str, lines: list[str]) -> str:
    """What of a text is left behind the lines that it was wrapped into, however they were broken."""
    return text[_length(text, lines) :].lstrip()


def text_of(text: str, lines: list[str]) -> str:
    """What of a text is in the first lines that it was wrapped into: words that were cut are whole again."""
    return text[: _length(text, lines)].rstrip()


def _length(text: str, lines: list[str]) -> int:
    left = sum(len(line) - line.count(" ") for line in lines)
    for index, character in enumerate(text):
        if left == 0:
            return index
        left -= not character.isspace()
    return len(text)


def _justified(
    paper: Paper, line: str, face: Face, size: int, x: int, y: int, width: int, colour: Colour
) -> Line:  # fmt: skip
    words = line.split()
    lengths = [width_of(face, size, word) for word in words]
    gap = (width - sum(lengths)) / (len(words) - 1)
    boxes = []
    at = float(x)
    for word, long in zip(words, lengths, strict=True):
        boxes.append(paper.text(round(at), y, word, face, size, colour))
        at += long + gap
    left, tops, right, bottoms = zip(*boxes, strict=True)
    return Line(line, (min(left), min(tops), max(right), max(bottoms)))
