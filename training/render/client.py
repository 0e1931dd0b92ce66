"""A picture as a MinerU client sends it: a system's turn, the picture, and what is to be done with it."""

from __future__ import annotations

import random

from training.samples import Pixels, Sample, Task, Turn
from training.world import World

SYSTEM = "You are a helpful assistant."
TEXT, LAYOUT, TABLE = "\nText Recognition:", "\nLayout Detection:", "\nTable Recognition:"


def sent(rng: random.Random, world: World, task: Task, prompt: str, pixels: Pixels, answer: str) -> Sample:
    """Others ask without the system's turn, or without the line's end before the prompt."""
    exact = world.split == "held-out" or rng.random() < 0.8
    asked = Turn("user", prompt if exact or rng.random() < 0.5 else prompt.strip(), (pixels,))
    turns = (asked, Turn("assistant", answer))
    return Sample(task, (Turn("system", SYSTEM), *turns) if exact else turns)
