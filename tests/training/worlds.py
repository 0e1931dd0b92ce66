"""A world for tests, made of what is always there."""

from __future__ import annotations

from functools import cache

from training.fonts import bundled
from training.texts import EnglishTexts
from training.world import Split, World


@cache
def small_world(split: Split = "train") -> World:
    """Generated texts, and the fonts that Pillow and the system have, which are the same on both sides."""
    return World(split, bundled(), EnglishTexts(split))
