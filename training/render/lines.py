"""Single lines of print, cut out as a client cuts blocks out of a page of 200 dots to an inch."""

from __future__ import annotations

import random

from training.render.client import TEXT, sent
from training.render.crop import around, as_sent, crop
from training.render.degrade import degrade
from training.render.typeset import Box, Colour, Paper, shown, width_of
from training.render.words import few_letters, words
from training.samples import Pixels, Sample
from training.world import Face, FontKind, World

CLEAN = 0.3  # of samples that nothing has happened to
WIDEST = 2200  # pixels
SMALL = 24  # pixels an em, below which wear does not spare what is to be read

Piece = tuple[Face, str]


def line(rng: random.Random, world: World) -> Sample:
    """What it says is exactly what can be read; pieces of neighbours at the edges are not part of it."""
    pixels, text = single(rng, world)
    return sent(rng, world, "line", TEXT, as_sent(pixels), text)


def word(rng: random.Random, world: World) -> Sample:
    """A line of few letters, whose pictures are small: to learn letters from."""
    pixels, text = _line_of(rng, world, few_letters(rng, world))
    return sent(rng, world, "line", TEXT, as_sent(pixels), text)


def single(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """A picture of one line, and what it says."""
    return _line_of(rng, world, words(rng, world))


def _line_of(rng: random.Random, world: World, text: str) -> tuple[Pixels, str]:
    kinds: tuple[FontKind, ...] = ("body", "mono", "display", "any")
    face = world.fonts.pick(rng, rng.choices(kinds, (60, 10, 10, 20))[0])
    size = round(14 * (64 / 14) ** rng.random() ** 1.3)
    text = _fitting(shown(face, text) or "1", face, size)
    strength = wear(rng, size, 1.0)
    return degrade(_drawn(rng, world, face, size, text, strength), rng, strength, geometry=False), text


def wear(rng: random.Random, size: int, most: float) -> float:
    """How much happens to a picture: nothing to some, and less to small print, which would be lost."""
    return 0.0 if rng.random() < CLEAN else rng.uniform(0.1, most) * min(1.0, size / SMALL)


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


def _drawn(rng: random.Random, world: World, face: Face, size: int, text: str, strength: float) -> Pixels:
    paper_colour, ink = colours(rng)
    spacing = rng.uniform(0.02, 0.12) * size if rng.random() < 0.06 else 0.0
    pieces = _pieces(rng, world, face, text) if rng.random() < 0.08 and not spacing else [(face, text)]
    wide = sum(width_of(own, size, f"{piece} ") for own, piece in pieces) + spacing * len(text)
    paper = Paper(round(wide) + 2 * size + 48, 4 * size + 60, paper_colour)
    x, y = size // 2 + 24, round(1.4 * size) + 30
    box = _spaced(paper, x, y, text, face, size, ink, spacing) if spacing else _mixed(paper, x, y, pieces, size, ink)
    if rng.random() < 0.05:
        box = _underlined(rng, paper, box, y + face.at(size).getmetrics()[0], size, ink)
    left, above, right, below = (rng.randint(0, 12) for _ in range(4))
    if rng.random() < 0.12:
        other = _fitting(shown(face, words(rng, world)), face, size)
        if rng.random() < 0.5:
            above = _neighbour(rng, paper, x, box, other, face, size, ink, above=True)
        else:
            below = _neighbour(rng, paper, x, box, other, face, size, ink, above=False)
        strength = 0.0  # askew, more of the neighbour would be seen
    return crop(rng, paper, box, (left, above, right, below), strength)


def _pieces(rng: random.Random, world: World, face: Face, text: str) -> list[Piece]:
    """The first or the last words in another style of the family."""
    parts = text.split()
    at = rng.randint(0, len(parts))
    first, last = " ".join(parts[:at]), " ".join(parts[at:])
    other = world.fonts.styled(face, *rng.choice(((True, False), (False, True), (True, True))))
    if not other.shows(text):
        return [(face, text)]
    faces = (other, face) if rng.random() < 0.6 else (face, other)
    return [(own, piece) for own, piece in zip(faces, (first, last), strict=True) if piece]


def _mixed(paper: Paper, x: int, y: int, pieces: list[Piece], size: int, colour: Colour) -> Box:
    """Styles side by side on one baseline, which is that of the first when it begins at y."""
    baseline = y + pieces[0][0].at(size).getmetrics()[0]
    at = float(x)
    boxes = []
    for face, piece in pieces:
        top = baseline - face.at(size).getmetrics()[0]
        boxes.append(paper.text(round(at), top, piece, face, size, colour))
        at += width_of(face, size, f"{piece} ")
    return around(boxes)


def _underlined(rng: random.Random, paper: Paper, box: Box, baseline: int, size: int, ink: Colour) -> Box:
    """Through the descenders as a rule, or below them."""
    wide = max(1, size // 18)
    under = baseline + max(2, size // 12) if rng.random() < 0.6 else box[3] + rng.randint(1, 3)
    paper.rule(box[0], under, box[2] - 1, under, ink, wide)
    return box[0], box[1], box[2], max(box[3], under + wide)


def _neighbour(
    rng: random.Random, paper: Paper, x: int, box: Box, text: str, face: Face, size: int, ink: Colour, above: bool
) -> int:  # fmt: skip
    """The feet of the line above, or the heads of the one below: so little that nobody could read it.

    Returns the margin that shows them.
    """
    _, top, _, bottom = face.at(size).getbbox(text, anchor="la")
    gap = rng.randint(1, max(2, size // 5))
    y = box[1] - gap - int(bottom) if above else box[3] + gap - int(top)
    paper.text(x, y, text, face, size, ink)
    return gap + rng.randint(1, max(1, round(0.28 * (bottom - top))))


def _spaced(
    paper: Paper, x: int, y: int, text: str, face: Face, size: int, colour: Colour, spacing: float
) -> Box:  # fmt: skip
    at = float(x)
    boxes = []
    for character in text:
        if character != " ":
            boxes.append(paper.text(round(at), y, character, face, size, colour))
        at += width_of(face, size, character) + spacing
    return around(boxes)
