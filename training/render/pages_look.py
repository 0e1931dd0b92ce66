"""What a whole page looks like: its size, its margins, and the faces and colours of its text."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from training.render.pages_words import Align
from training.render.tables_layout import pale
from training.render.typeset import Colour
from training.world import Face, World

UPRIGHT = (1.414, 1.414, 1.414, 1.294, 1.294, 1.5, 1.33)  # heights to widths: A4, Letter, books
EMS = 12  # of its type, which a column is wide at least: in less, words are cut
LARGE = 0.04  # of pages, which have large type and little of it


@dataclass(frozen=True)
class Look:
    """Lengths are in pixels."""

    width: int
    height: int
    paper: Colour
    left: int
    right: int
    top: int
    bottom: int
    body: Face
    display: Face
    strong: Face
    italic: Face
    mono: Face
    size: int
    leading: float
    align: Align
    indent: int  # of paragraphs; where there is one, nothing else need stand between them
    gap: int  # between paragraphs
    ink: Colour
    accent: Colour  # of titles

    @property
    def pitch(self) -> float:
        return self.size * self.leading

    @property
    def across(self) -> int:
        return self.right - self.left

    def small(self, share: float) -> int:
        return max(9, round(self.size * share))


def make_look(rng: random.Random, world: World, sizes: tuple[float, float], wide: bool = False) -> Look:
    """`sizes`: of the type, in hundredths of the page's width."""
    ratio = rng.choice((0.5625, 0.75)) if wide else rng.choice((*UPRIGHT, *UPRIGHT, 0.707))
    width = rng.randint(1000, 1160) if ratio > 1 else rng.randint(1200, 1450)
    height = round(width * ratio)
    body = world.fonts.pick(rng, "body")
    strong = world.fonts.styled(body, True, False)
    size = max(11, round(width * rng.uniform(*sizes) / 100))
    if rng.random() < LARGE:
        size = round(size * rng.uniform(1.5, 2.4))
    dark = rng.randint(0, 60)
    ink = (dark, dark, dark)
    leading = rng.uniform(1.18, 1.5)
    indented = rng.random() < 0.25
    return Look(
        width, height, (255, 255, 255) if rng.random() < 0.85 else pale(rng),
        round(width * rng.uniform(0.05, 0.13)), width - round(width * rng.uniform(0.05, 0.13)),
        round(height * rng.uniform(0.05, 0.1)), round(height * rng.uniform(0.88, 0.95)),
        body, world.fonts.pick(rng, "display") if rng.random() < 0.4 else strong, strong,
        world.fonts.styled(body, False, True), world.fonts.pick(rng, "mono"), size, leading,
        "justified" if rng.random() < 0.5 else "left", round(size * rng.uniform(1, 2)) if indented else 0,
        round(size * (rng.uniform(0.2, 0.5) if indented else rng.uniform(0.6, 1.5))), ink,
        ink if rng.random() < 0.6 else (rng.randint(0, 150), rng.randint(0, 110), rng.randint(0, 170)),
    )  # fmt: skip


def fitted(look: Look, narrowest: float) -> Look:
    """With type that is small enough for columns of that width."""
    size = max(9, min(look.size, int(narrowest / EMS)))
    share = size / look.size
    return replace(look, size=size, gap=max(3, round(look.gap * share)), indent=round(look.indent * share))
