"""The colours and faces of one document."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.render.sheets import Colour, Type, typed
from training.render.values import Manner, manner
from training.world import Face, FontKind, World

_INKS: tuple[Colour, ...] = ((0, 0, 0), (15, 15, 15), (30, 30, 35), (25, 25, 60), (50, 45, 40), (70, 70, 75))
_PENS: tuple[Colour, ...] = ((20, 30, 120), (10, 10, 10), (35, 50, 150), (60, 20, 20))
_ACCENTS: tuple[Colour, ...] = ((180, 30, 40), (20, 70, 150), (10, 110, 80), (110, 40, 130), (190, 90, 10),
                                (40, 40, 45), (0, 105, 120), (130, 20, 60), (60, 75, 20))  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Types come in three voices: what is printed on the form, what was filled in, and the heading."""

    paper: Colour
    ink: Colour
    pen: Colour
    accent: Colour
    body: Face
    filled: Face
    display: Face
    x_height: float  # of small print, in pixels

    @property
    def pale(self) -> Colour:
        """The accent, thinned until text is easily read on it."""
        return blend(self.paper, self.accent, 0.14)

    @property
    def faint(self) -> Colour:
        return blend(self.paper, self.ink, 0.35)

    def small(self, colour: Colour | None = None) -> Type:
        return typed(self.body, self.x_height, colour or self.ink)

    def value(self, factor: float = 1.0) -> Type:
        return typed(self.filled, self.x_height * factor, self.pen)

    def heading(self, factor: float, colour: Colour | None = None) -> Type:
        return typed(self.display, self.x_height * factor, colour or self.accent)

    def manner(self, rng: random.Random) -> Manner:
        signs = all(kind.shows("£€") for kind in (self.small(), self.value(), self.heading(1)))
        return manner(rng, signs)


def blend(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _paper(rng: random.Random) -> Colour:
    if rng.random() < 0.5:
        return 255, 255, 255
    base = rng.randrange(236, 254)
    return base, base - rng.randrange(0, 8), base - rng.randrange(0, 22)


def look(rng: random.Random, world: World, body: FontKind = "body", written: float = 0.5) -> Look:
    """`written`: the share of documents whose values are in another face than what is printed beside them."""
    face = world.fonts.pick(rng, body)
    filled = world.fonts.pick(rng, rng.choice(("body", "mono", "any"))) if rng.random() < written else face
    if rng.random() < 0.4:
        filled = world.fonts.styled(filled, rng.random() < 0.7, rng.random() < 0.3)
    display = world.fonts.styled(face, True, False) if rng.random() < 0.5 else world.fonts.pick(rng, "display")
    ink = rng.choice(_INKS)
    pen = ink if rng.random() < 0.6 else rng.choice(_PENS)
    return Look(_paper(rng), ink, pen, rng.choice(_ACCENTS), face, filled, display, rng.uniform(8, 11.5))
