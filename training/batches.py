"""Conversations drawn by chance, and packed into one batch without padding."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from training.encode import NOTHING, Encoded, Encoder, places, starts
from training.samples import Maker, Task
from training.world import World

Arrays = dict[str, NDArray[Any]]
TASKS: tuple[str, ...] = get_args(Task)


@dataclass(frozen=True)
class Budget:
    """Of a batch, reached by its last conversation or just missed."""

    patches: int
    tokens: int


def draw(
    rng: random.Random, recipe: Mapping[Maker, float], world: World, encoder: Encoder, budget: Budget
) -> list[Encoded]:
    """As many as fit, of kinds by their weight."""
    makers, weights = list(recipe), list(recipe.values())
    drawn: list[Encoded] = []
    patches = tokens = 0
    while True:
        encoded = encoder.encode(rng.choices(makers, weights)[0](rng, world))
        patches += len(encoded.patches)
        tokens += len(encoded.ids)
        if drawn and (patches > budget.patches or tokens > budget.tokens):
            return drawn
        drawn.append(encoded)


def pack(drawn: Sequence[Encoded], merge: int) -> Arrays:
    """The arrays of a `training.model.Batch`, by name."""
    grids = [grid for encoded in drawn for grid in encoded.grids]
    pictures = [height * width for height, width in grids]
    texts = [len(encoded.ids) for encoded in drawn]
    begins = starts(texts)
    labels = np.concatenate([encoded.labels for encoded in drawn])
    tasks = np.concatenate([np.full(len(encoded.ids), TASKS.index(encoded.task)) for encoded in drawn])
    learnt = np.flatnonzero(labels != NOTHING)
    found = [places(grid, merge) for grid in grids]
    return {
        "patches": np.concatenate([encoded.patches for encoded in drawn]),
        "places": np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int32),
        "picture_starts": starts(pictures),
        "longest_picture": np.array(_rounded(max(pictures, default=0))),
        "ids": np.concatenate([encoded.ids for encoded in drawn]),
        "positions": np.concatenate([encoded.positions for encoded in drawn], axis=1),
        "text_starts": begins,
        "longest_text": np.array(_rounded(max(texts))),
        "slots": np.concatenate([encoded.slots + begin for encoded, begin in zip(drawn, begins, strict=False)]),
        "learnt": learnt,
        "targets": labels[learnt],
        "tasks": tasks[learnt],
    }


def _rounded(longest: int) -> int:
    """To few different numbers, for which a compiler would make a kernel each."""
    return max(256, 1 << (longest - 1).bit_length())
