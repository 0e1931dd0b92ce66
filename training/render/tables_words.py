"""What the cells of a table's columns hold."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from training.world import World

Fit = Literal["left", "right", "centre", "point"]  # "point": decimal points stand below each other
Fill = Callable[[], str]


@dataclass(frozen=True)
class Column:
    fill: Fill
    fit: Fit
    numbers: bool = False


def column(rng: random.Random, world: World, kind: str | None = None) -> Column:
    """One in which all cells are written the same way, as people do."""
    return _MAKERS[kind or rng.choices(_KINDS, _WEIGHTS)[0]](rng, world)


def heading(rng: random.Random, world: World) -> str:
    text = " ".join(world.texts.title(rng).split()[: rng.choice((1, 1, 2, 2, 3))]).rstrip(":,;-")
    if rng.random() < 0.15:
        text += rng.choice((" (%)", " ($)", " [kg]", " (mm)", " (m)", ", EUR", " (£)", " (000s)", " °C"))
    elif rng.random() < 0.08:
        text = rng.choice((str(rng.randint(1980, 2030)), f"Q{rng.randint(1, 4)}", "No.", "#", "Qty", "Total", "%"))
    return text


def some_words(rng: random.Random, world: World) -> str:
    texts = world.texts
    kind = rng.random()
    if kind < 0.35:
        return " ".join(texts.title(rng).split()[: rng.randint(1, 4)]).rstrip(":,;-")
    if kind < 0.6:
        return texts.product(rng)
    if kind < 0.75:
        return texts.person(rng)
    return texts.company(rng) if kind < 0.85 else texts.word(rng)


def _names(rng: random.Random, world: World) -> Column:
    def mixed() -> str:
        return some_words(rng, world)

    def same() -> str:
        return maker(rng)

    maker = rng.choice((world.texts.product, world.texts.person, world.texts.company, world.texts.word))
    return Column(mixed if rng.random() < 0.6 else same, "left")


def _phrases(rng: random.Random, world: World) -> Column:
    longest = rng.randint(4, 12)
    return Column(lambda: " ".join(world.texts.sentence(rng).split()[: rng.randint(3, longest)]), "left")


def _numbers(rng: random.Random, world: World) -> Column:
    most = 10 ** rng.uniform(1, 6)
    places: tuple[int, ...] = rng.choice(((0,), (0,), (1,), (2,), (2,), (3,), (1, 2, 3), (0, 1, 2)))
    comma = "," if rng.random() < 0.7 else ""
    before = rng.choice(("", "", "", "", "$", "£", "€")) if places in ((0,), (2,)) else ""
    after = rng.choice((" kg", " mm", " h", " ms", " GB")) if not before and rng.random() < 0.08 else ""
    below_zero = rng.choice((0.0, 0.0, 0.15))
    bracketed = rng.random() < 0.4

    def fill() -> str:
        number = f"{before}{world.texts.amount(rng, 0.1, most):{comma}.{rng.choice(places)}f}{after}"
        if rng.random() < below_zero:
            return f"({number})" if bracketed else f"-{number}"
        return number

    return Column(fill, "point" if rng.random() < 0.6 and not after else "right", True)


def _shares(rng: random.Random, world: World) -> Column:
    places, sign = rng.choice((0, 1, 1, 2)), rng.choice(("%", "%", " %", ""))
    return Column(lambda: f"{rng.uniform(0, 100):.{places}f}{sign}", rng.choice(("right", "point")), True)


def _marks(rng: random.Random, world: World) -> Column:
    some = rng.choice((("yes", "no"), ("Yes", "No", "n/a"), ("x", "-"), ("A", "B", "C", "D"), ("0", "1", "2", "3"),
                       ("+", "-"), ("ok", "failed"), ("I", "II", "III", "IV"), ("low", "medium", "high")))  # fmt: skip
    return Column(lambda: rng.choice(some), "centre")


def _dates(rng: random.Random, world: World) -> Column:
    return Column(lambda: world.texts.date(rng), "left")


def _codes(rng: random.Random, world: World) -> Column:
    return Column(lambda: world.texts.code(rng), "left")


def _counts(rng: random.Random, world: World) -> Column:
    """Of rows: they go up."""
    last = rng.choice((0, 0, rng.randint(1, 300)))

    def fill() -> str:
        nonlocal last
        last += 1
        return f"{last}{dot}"

    dot = rng.choice(("", "", "."))
    return Column(fill, rng.choice(("right", "centre", "left")), True)


_MAKERS: dict[str, Callable[[random.Random, World], Column]] = {
    "names": _names, "phrases": _phrases, "numbers": _numbers, "shares": _shares, "marks": _marks, "dates": _dates,
    "codes": _codes, "counts": _counts,
}  # fmt: skip
_KINDS = tuple(_MAKERS)
_WEIGHTS = (24, 6, 34, 12, 8, 8, 8, 2)
