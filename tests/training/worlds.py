"""A world for tests, made of what is always there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from training.fonts import bundled
from training.world import Split, World


@cache
def small_world(split: Split = "train") -> World:
    """Generated texts and the fonts that Pillow and the system have, the same on both sides."""
    from training.texts import open_texts

    return World(split, bundled(), open_texts(Path(os.devnull), split))
