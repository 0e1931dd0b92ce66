"""How a crop of several lines is set: its type, its measure and its colours."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.render.crop import around, crop
from training.render.degrade import degrade
from training.render.lines import colours, wear
from training.render.typeset import Align, Box, Colour, Paper
from training.samples import Pixels
from training.world import Face, FontKind, World

MOST_TOKENS = 1400  # of 28 x 28 pixels
MOST_HEIGHT = 1100  # pixels
WIDEST = 1500  # pixels
_SLACK = 100  # pixels by which margins, and a sheet that lies askew, make a crop wider and higher


@dataclass(frozen=True)
class Setting:
    face: Face
    size: int
    width: int
    leading: float
    align: Align
    ink: Colour
    ground: Colour

    @property
    def height(self) -> int:
        """That keeps within the tokens of a picture."""
        return min(MOST_HEIGHT, MOST_TOKENS * 28 * 28 // (self.width + _SLACK) - _SLACK)

    @property
    def most_lines(self) -> int:
        return max(1, int(self.height / (self.size * self.leading)))

    def paper(self, height: int) -> Paper:
        """On which text begins at (left, top)."""
        return Paper(self.width + 2 * self.left, height + 2 * self.top, self.ground)

    @property
    def left(self) -> int:
        return self.size + 24

    @property
    def top(self) -> int:
        return self.size + 24


def choose(
    rng: random.Random, world: World, kind: FontKind = "body", most: int = 40, ems: tuple[float, float] = (8, 42)
) -> Setting:  # fmt: skip
    """`most` pixels an em, and a measure of so many ems."""
    face = world.fonts.pick(rng, kind if rng.random() < 0.85 else "any")
    size = round(14 * (most / 14) ** rng.random() ** 1.5)
    ground, ink = colours(rng)
    width = min(WIDEST, max(200, round(size * rng.uniform(*ems))))
    aligns: tuple[Align, ...] = ("left", "justified", "centre", "right")
    align = rng.choices(aligns, (60, 30, 7, 3))[0]
    return Setting(face, size, width, rng.uniform(1.15, 1.7), align, ink, ground)


def taken(rng: random.Random, setting: Setting, paper: Paper, boxes: list[Box]) -> Pixels:
    """What is in the boxes, cut out of its paper, and worn."""
    strength = wear(rng, setting.size, 0.9)
    left, above, right, below = (rng.randint(0, 14) for _ in range(4))
    pixels = crop(rng, paper, around(boxes), (left, above, right, below), strength)
    return degrade(pixels, rng, strength, geometry=False)
