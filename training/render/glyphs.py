"""Letters of one face and size, each drawn once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from training.world import Face

Mask = NDArray[np.uint8]  # [height, width]: how much ink there is


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
        self._nearer: dict[str, float] = {}
        self.kerns = kerns(face)
        self.space = float(face.at(size).getlength(" "))

    def stamp(self, letter: str) -> Stamp:
        found = self._stamps.get(letter)
        if found is None:
            found = self._stamps[letter] = drawn(self._face.at(self._size), letter)
        return found

    def nearer(self, pair: str) -> float:
        """How much the second of two letters is moved for the sake of the first: kerning."""
        found = self._nearer.get(pair)
        if found is None:
            alone = sum(self.stamp(letter).advance for letter in pair)
            found = self._nearer[pair] = float(self._face.at(self._size).getlength(pair)) - alone
        return found


@lru_cache(4096)  # some 30 kB each
def letters(face: Face, size: int) -> Letters:
    return Letters(face, size)


def drawn(font: ImageFont.FreeTypeFont, letter: str) -> Stamp:
    """Without the empty rows and columns around it."""
    core, (left, top) = font.getmask2(letter, "L", anchor="la")
    width, height = core.size
    mask = np.frombuffer(bytes(core), dtype=np.uint8).reshape(height, width)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows):
        mask = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        left, top = left + int(columns[0]), top + int(rows[0])
    return Stamp(mask, left, top, float(font.getlength(letter)))


@lru_cache(1024)
def kerns(face: Face) -> bool:
    """Whether it moves any letters: most fonts say how in a table that the simple engine does not read."""
    font = face.at(64)
    return any(font.getlength(pair) != font.getlength(pair[0]) + font.getlength(pair[1]) for pair in _CLOSE)


_CLOSE = (
    "AV",
    "AT",
    "AW",
    "Ta",
    "Te",
    "To",
    "VA",
    "Va",
    "We",
    "Wa",
    "Yo",
    "Ya",
    "P.",
    "F.",
    "LT",
    "Ly",
    "r.",
    "y.",
    "f.",
)
