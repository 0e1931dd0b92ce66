"""Crops of several lines: paragraphs, lists, references, headings, addresses, code.

Lines that flow are joined by one space, and a word that was cut at the end of a line is whole again, without the
hyphen. What stands for itself (a heading, a paragraph, an item of a list or of the references, a line of an address, of
a label or of code) is a line of the answer. Spaces are single, but for those that a line of code begins with; of these,
the ones that all lines have are left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from training.render.client import TEXT, sent
from training.render.crop import as_sent
from training.render.flowing import flowing
from training.render.lines import single
from training.render.phrases import READ, READ_HELD_OUT
from training.render.setting import MOST_TOKENS
from training.render.stacked import addressed, article, code, heading, listed, loose, references
from training.samples import Pixels, Sample, Turn
from training.world import World

__all__ = ["MOST_TOKENS", "block", "chat_read", "paragraph"]

Drawn = Callable[[random.Random, World], tuple[Pixels, str]]

_KINDS: tuple[tuple[Drawn, float], ...] = (
    (flowing, 54), (listed, 12), (references, 4), (addressed, 6), (heading, 8), (loose, 8), (code, 5), (article, 3),
)  # fmt: skip


def paragraph(rng: random.Random, world: World) -> Sample:
    """What a client cuts out of a page as one block."""
    pixels, text = block(rng, world)
    return sent(rng, world, "text", TEXT, as_sent(pixels), text)


def chat_read(rng: random.Random, world: World) -> Sample:
    """The same, or several blocks or a single line, asked for in chat, where nothing is made of a picture first."""
    draw = rng.random()
    kind: Drawn = single if draw < 0.15 else article if draw < 0.3 else block
    pixels, text = kind(rng, world)
    asked = rng.choice(READ if world.split == "train" else READ_HELD_OUT)
    return Sample("read", (Turn("user", asked, (pixels,)), Turn("assistant", text)))


def block(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """A picture of a few lines, and what it says."""
    kinds, weights = zip(*_KINDS, strict=True)
    kind: Drawn = rng.choices(kinds, weights)[0]
    return kind(rng, world)
