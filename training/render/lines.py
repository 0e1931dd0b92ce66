"""Single lines of print, cut out as a client cuts blocks out of a page of 200 dots to an inch."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from training.render.client import TEXT, sent
from training.render.degrade import degrade
from training.render.typeset import Colour, Paper, shown, width_of
from training.samples import Pixels, Sample
from training.world import Face, FontKind, World

CLEAN = 0.3  # of samples that nothing has happened to
WIDEST = 2200  # pixels


def line(rng: random.Random, world: World) -> Sample:
    """What it says is exactly what can be read; pieces of neighbours at the edges are not part of it."""
    kinds: tuple[FontKind, ...] = ("body", "mono", "display", "any")
    face = world.fonts.pick(rng, rng.choices(kinds, (60, 10, 10, 20))[0])
    size = round(14 * (64 / 14) ** rng.random() ** 1.3)
    text = _fitting(shown(face, words(rng, world)) or "1", face, size)
    pixels = _drawn(rng, world, face, size, text)
    if rng.random() > CLEAN:
        pixels = degrade(pixels, rng, rng.uniform(0.1, 1.0))
    return sent(rng, world, "line", TEXT, pixels, text)


def words(rng: random.Random, world: World) -> str:
    """What stands in one line: a piece of a sentence as a rule, or anything else that is printed."""
    kinds, weights = zip(*_KINDS, strict=True)
    text = " ".join(rng.choices(kinds, weights)[0](rng, world).split())
    if rng.random() < 0.05:
        text = text.upper()
    return text or "1"


def _piece(rng: random.Random, world: World) -> str:
    """Cut out of a paragraph as lines break it: anywhere between words."""
    found = world.texts.paragraph(rng, 220).split()
    count = rng.randint(1, 14)
    begin = rng.randrange(max(1, len(found) - count + 1))
    return " ".join(found[begin : begin + count])


def _numbers(rng: random.Random, world: World) -> str:
    amount = world.texts.amount(rng, 0.5, 10 ** rng.uniform(0.5, 6))
    return rng.choice((
        f"{amount:,.2f}", f"${amount:,.2f}", f"{amount:.2f} EUR", f"{amount:,.0f}", f"({amount:,.1f})",
        f"{amount % 100:.1f}%", f"{rng.randrange(10**6):06d}", f"{rng.randrange(1000)} / {rng.randrange(1000)}",
        f"-{amount % 1000:.3f}",
    ))  # fmt: skip


def _several(rng: random.Random, world: World) -> str:
    """A few short things side by side, as in a line of a form or a list."""
    parts = [_short(rng, world) for _ in range(rng.randint(2, 4))]
    return rng.choice(("  ", ", ", " - ", ": ", " / ", " | ")).join(parts)


def _short(rng: random.Random, world: World) -> str:
    texts = world.texts
    return rng.choice((
        texts.word, texts.code, texts.date, texts.person, texts.company, texts.product,
        lambda rng: _numbers(rng, world),
    ))(rng)  # fmt: skip


def _random(rng: random.Random, world: World) -> str:
    """Characters that no language model can guess."""
    alphabet = rng.choice(("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", "abcdefghijklmnopqrstuvwxyz", "0123456789",
                           "!#$%&()*+,-./:;<=>?@[]_{}~abcXYZ019"))  # fmt: skip
    return " ".join(
        "".join(rng.choices(alphabet, k=rng.randint(1, 8))) for _ in range(rng.randint(1, 4))
    )  # fmt: skip


_KINDS: tuple[tuple[Callable[[random.Random, World], str], float], ...] = (
    (_piece, 46), (lambda rng, world: world.texts.title(rng), 9), (lambda rng, world: world.texts.sentence(rng), 5),
    (_short, 14), (_several, 9), (_numbers, 5), (_random, 6),
    (lambda rng, world: rng.choice(world.texts.address(rng)), 3), (lambda rng, world: world.texts.word(rng), 3),
)  # fmt: skip


def _fitting(text: str, face: Face, size: int) -> str:
    """As many of the words as fit into the widest crop."""
    while width_of(face, size, text) > WIDEST and " " in text:
        text = text.rpartition(" ")[0]
    while width_of(face, size, text) > WIDEST:
        text = text[: len(text) * 2 // 3]
    return text


def colours(rng: random.Random) -> tuple[Colour, Colour]:
    """Of paper and ink, far enough from each other to be read."""
    if rng.random() < 0.6:
        return (255, 255, 255), (0, 0, 0)
    dark = rng.random() < 0.12
    near = _colour(rng, 0, 90)
    away = _colour(rng, 195, 255)
    return (near, away) if dark else (away, near)


def _colour(rng: random.Random, low: int, high: int) -> Colour:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _drawn(rng: random.Random, world: World, face: Face, size: int, text: str) -> Pixels:
    paper_colour, ink = colours(rng)
    spacing = rng.uniform(0.02, 0.12) * size if rng.random() < 0.06 else 0.0
    wide = round(width_of(face, size, text) + spacing * len(text)) + 2 * size
    high = 3 * size + 40
    paper = Paper(wide, high, paper_colour)
    top = size + 10
    box = _spaced(paper, size, top, text, face, size, ink, spacing) if spacing else paper.text(
        size, top, text, face, size, ink
    )  # fmt: skip
    if rng.random() < 0.05:
        under = box[3] + rng.randint(1, 3)
        paper.rule(box[0], under, box[2], under, ink, max(1, size // 18))
        box = (box[0], box[1], box[2], under + 1)
    if rng.random() < 0.12:  # the feet of the line above, or the heads of the one below
        other = _fitting(shown(face, words(rng, world)), face, size)
        where = box[1] - round(size * rng.uniform(1.0, 1.25)) if rng.random() < 0.5 else box[3] + rng.randint(2, 8)
        paper.text(size, where, other, face, size, ink)
    left, above, right, below = (rng.randint(0, 12) for _ in range(4))
    x0, y0 = max(0, box[0] - left), max(0, box[1] - above)
    return np.ascontiguousarray(paper.pixels()[y0 : box[3] + below, x0 : box[2] + right])


def _spaced(
    paper: Paper, x: int, y: int, text: str, face: Face, size: int, colour: Colour, spacing: float
) -> tuple[int, int, int, int]:
    at = float(x)
    boxes = []
    for character in text:
        if character != " ":
            boxes.append(paper.text(round(at), y, character, face, size, colour))
        at += width_of(face, size, character) + spacing
    left, tops, right, bottoms = zip(*boxes, strict=True)
    return min(left), min(tops), max(right), max(bottoms)
