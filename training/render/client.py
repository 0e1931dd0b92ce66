"""A picture as a MinerU client sends it: a system's turn, the picture, and what is to be done with it."""

from __future__ import annotations

import random

from training.render.fields import CELL
from training.samples import Pixels, Sample, Task, Turn
from training.world import World

SYSTEM = "You are a helpful assistant."
TEXT, LAYOUT, TABLE = "\nText Recognition:", "\nLayout Detection:", "\nTable Recognition:"


EVEN = 0.7  # of larger pictures, in training, are of whole tokens: to resize them costs as much as to draw them


def to_cells(rng: random.Random, world: World, width: int, height: int) -> tuple[int, int]:
    """A width and a height that may be a little larger, so that a picture of them is not resized."""
    if world.split == "held-out" or rng.random() > EVEN:
        return width, height
    return -(-width // CELL) * CELL, -(-height // CELL) * CELL


def sent(rng: random.Random, world: World, task: Task, prompt: str, pixels: Pixels, answer: str) -> Sample:
    """Others ask without the system's turn, or without the line's end before the prompt."""
    exact = world.split == "held-out" or rng.random() < 0.8
    asked = Turn("user", prompt if exact or rng.random() < 0.5 else prompt.strip(), (pixels,))
    turns = (asked, Turn("assistant", answer))
    return Sample(task, (Turn("system", SYSTEM), *turns) if exact else turns)
