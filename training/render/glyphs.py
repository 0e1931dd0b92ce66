"""Letters of one face and size, each drawn once, and lines that are put together of them: to draw costs much more than
to copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from training.world import Face

Mask = NDArray[np.uint8]  # [height, width]: how much ink there is
NOTHING: Mask = np.zeros((0, 0), dtype=np.uint8)


class Stamp:
    """Ink, where its edges are, seen from where it begins, and how far what follows is."""

    __slots__ = ("advance", "bottom", "left", "mask", "right", "top")

    def __init__(self, mask: Mask, left: int, top: int, advance: float) -> None:
        self.mask, self.left, self.top, self.advance = mask, left, top, advance
        self.right, self.bottom = left + mask.shape[1], top + mask.shape[0]


class Letters:
    """All that words are put together of."""

    def __init__(self, face: Face, size: int) -> None:
        self._face, self._size = face, size
        self._stamps: dict[str, Stamp] = {}
        self._advances: dict[str, float] = {}
        self._nearer: dict[str, float] = {}
        self.kerns = kerns(face)
        self.space = float(face.at(size).getlength(" "))

    def stamp(self, letter: str) -> Stamp:
        found = self._stamps.get(letter)
        if found is None:
            found = self._stamps[letter] = drawn(self._face.at(self._size), letter, self.advance(letter))
        return found

    def advance(self, letter: str) -> float:
        found = self._advances.get(letter)
        if found is None:
            found = self._advances[letter] = float(self._face.at(self._size).getlength(letter))
        return found

    def nearer(self, pair: str) -> float:
        """How much the second of two letters is moved for the sake of the first: kerning."""
        found = self._nearer.get(pair)
        if found is None:
            alone = self.advance(pair[0]) + self.advance(pair[1])
            found = self._nearer[pair] = float(self._face.at(self._size).getlength(pair)) - alone
        return found


@lru_cache(4096)  # some 30 kB each
def letters(face: Face, size: int) -> Letters:
    return Letters(face, size)


def drawn(font: ImageFont.FreeTypeFont, letter: str, advance: float) -> Stamp:
    """Without the empty rows and columns around it."""
    core, (left, top) = font.getmask2(letter, "L", anchor="la")
    box = core.getbbox()
    if box is None:
        return Stamp(NOTHING, 0, 0, advance)
    mask = np.frombuffer(bytes(core.crop(box)), dtype=np.uint8).reshape(box[3] - box[1], box[2] - box[0])
    return Stamp(mask, left + box[0], top + box[1], advance)


def length_of(face: Face, size: int, text: str) -> float:
    """How far what follows a line is from where it begins."""
    own = letters(face, size)
    long = sum([own.advance(letter) for letter in text])
    if own.kerns:
        long += sum([own.nearer(text[index : index + 2]) for index in range(len(text) - 1)])
    return long


def line_of(face: Face, size: int, text: str) -> Stamp:
    """A line, drawn as its font would draw it. Of spaces alone, or of nothing, it has no ink."""
    own = letters(face, size)
    at, before, placed = 0.0, "", []
    for letter in text:
        if before and own.kerns:
            at += own.nearer(before + letter)
        found = own.stamp(letter)
        if found.mask.size:
            placed.append((round(at), found))
        at, before = at + found.advance, letter
    mask, left, top = together(placed) if placed else (NOTHING, 0, 0)
    return Stamp(mask, left, top, at)


def together(stamps: Sequence[tuple[int, Stamp]]) -> tuple[Mask, int, int]:
    """All that is stamped, each so far to the right; and where its left and upper edges are."""
    left, top = min([x + found.left for x, found in stamps]), min([found.top for _, found in stamps])
    right, bottom = max([x + found.right for x, found in stamps]), max([found.bottom for _, found in stamps])
    mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
    for x, found in stamps:
        place = mask[found.top - top : found.bottom - top, x + found.left - left : x + found.right - left]
        np.maximum(place, found.mask, out=place)
    return mask, left, top


@lru_cache(1024)
def kerns(face: Face) -> bool:
    """Whether it moves any letters: most fonts say how in a table that the simple engine does not read."""
    font = face.at(64)
    return any(font.getlength(pair) != font.getlength(pair[0]) + font.getlength(pair[1]) for pair in _CLOSE)


_CLOSE = (
    "AV", "AT", "AW", "Ta", "Te", "To", "VA", "Va", "We", "Wa", "Yo", "Ya", "P.", "F.", "LT", "Ly", "r.", "y.", "f.",
)  # fmt: skip
