"""Words that nobody has seen before, but that can be said: the reader must not guess its way through a page."""

from __future__ import annotations

import random
import zlib
from functools import cache

from training.world import Split

ONSETS = (
    "b c d f g h j k l m n p r s t v w b br c ch cl cr d dr f fl fr g gl gr h j k l m n p ph pl pr qu r s sc sh sk sl "
    "sm sn sp st str t th tr tw v w z"
)
NUCLEI = "a a a e e e e i i i o o o u u ai ea ee oa oo ou ie ia y"
CODAS = "b ck ct d f ft g l ld lt m mp n nd ng nk nt p r rd rk rn rt s sh sk st t x"
ENDINGS = "a o y er en on um us ia ium ing ed ly ment tion ness ity ism able al ic ous or"
RUDE = ("fuk", "fuc", "fag", "shit", "slut", "cunt", "dick", "cock", "cum", "tit", "nig", "piss", "rap", "sex", "anal",
        "whor", "nazi", "porn", "cooch", "jew", "homo", "poo", "pee")  # fmt: skip
HELD_OUT_SHARE = 5  # one syllable of so many is never trained on, and held-out words are of no others


@cache
def syllables(split: Split) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Open ones (consonants and a vowel) and closed ones (with consonants at the end)."""
    opened = [onset + nucleus for onset in ONSETS.split() for nucleus in NUCLEI.split()]
    closed = [start + coda for start in opened if len(start) < 4 for coda in CODAS.split()]
    return _of(split, opened), _of(split, closed)


def pseudo_word(rng: random.Random, split: Split) -> str:
    """Two to four syllables, small letters."""
    while _rude(word := _pseudo_word(rng, split)):
        pass
    return word


def pseudo_name(rng: random.Random, split: Split) -> str:
    """Of a person, a place or a brand: shorter, with a capital."""
    while _rude(name := _pseudo_name(rng, split)):
        pass
    return name.capitalize()


def _pseudo_word(rng: random.Random, split: Split) -> str:
    opened, closed = syllables(split)
    count = 1 if rng.random() < 0.6 else 2
    word = "".join([opened[int(rng.random() * len(opened))] for _ in range(count)])
    if rng.random() < 0.65:
        return word + closed[int(rng.random() * len(closed))]
    endings = _endings()
    return word + closed[int(rng.random() * len(closed))] + endings[int(rng.random() * len(endings))]


def _pseudo_name(rng: random.Random, split: Split) -> str:
    opened, closed = syllables(split)
    word = closed[int(rng.random() * len(closed))]
    if rng.random() < 0.75:
        word = opened[int(rng.random() * len(opened))] + word
    return word


def _rude(word: str) -> bool:
    return any(part in word for part in RUDE)


@cache
def _endings() -> tuple[str, ...]:
    return tuple(ENDINGS.split())


def _of(split: Split, parts: list[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if (zlib.crc32(part.encode()) % HELD_OUT_SHARE == 0) == (split == "held-out"))
