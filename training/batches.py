"""Conversations drawn by chance, and packed into one batch without padding between them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from training.encode import NOTHING, Encoded, Encoder, places, starts
from training.samples import Maker, MakerOfSeveral, Sample, Task
from training.world import World

Arrays = dict[str, NDArray[Any]]
Shares = Mapping[Maker | MakerOfSeveral, float]
TASKS: tuple[str, ...] = get_args(Task)

LARGEST = 2.0  # times as wide and high
_MISSES = 3  # conversations that do not fit, before a batch is taken to be full
_FILLER = 512  # patches, or tokens, of each of the sequences that fill a batch up


@dataclass(frozen=True)
class Budget:
    """What a batch has room for. Batches of one budget have arrays of one size, for which a GPU's work is recorded."""

    patches: int
    tokens: int  # the last of them is never used
    learnt: int  # tokens of those
    conversations: int  # and as many pictures

    def times(self, share: float) -> Budget:
        """A part of it, whose patches make whole tokens where four are merged."""
        return Budget(
            round(self.patches * share / 4) * 4,
            round(self.tokens * share),
            round(self.learnt * share),
            max(1, round(self.conversations * share)),
        )

    def without(self, encoded: Encoded) -> Budget | None:
        """What is left of it beside a conversation; None where that does not fit."""
        left = Budget(
            self.patches - len(encoded.patches),
            self.tokens - len(encoded.ids),
            self.learnt - encoded.learnt,
            self.conversations - max(1, len(encoded.grids)),
        )
        fits = min(left.patches, left.learnt, left.conversations) >= 0 and left.tokens > 0
        return left if fits else None


def draw(
    rng: random.Random,
    shares: Shares,
    world: World,
    encoder: Encoder,
    budget: Budget,
    spelled: float = 0.0,
    enlarged: float = 0.0,
) -> list[Encoded]:
    """As many as fit, of kinds by their shares. `spelled`: the share of them that are answered letter by letter.
    `enlarged`: that of those whose pictures are made larger, as people scan finer than need be; a page to be laid out
    comes in one size.

    Raises: ValueError where one alone does not fit.
    """
    drawn: list[Encoded] = []
    left, misses = budget, 0
    samples = made(rng, shares, world)
    while misses < _MISSES:
        sample = next(samples)
        letters = rng.random() < spelled
        grows = sample.task != "layout" and rng.random() < enlarged
        encoded = encoder.encode(sample, letters, rng.uniform(1.0, LARGEST) if grows else 1.0)
        rest = left.without(encoded)
        if rest is None and not drawn:
            raise ValueError(f"a conversation of task {sample.task} is larger than {budget}")
        if rest is None:
            misses += 1
            continue
        drawn.append(encoded)
        left = rest
    return drawn


def made(rng: random.Random, shares: Shares, world: World) -> Iterator[Sample]:
    """Samples without an end."""
    makers, weights = list(shares), list(shares.values())
    while True:
        one = rng.choices(makers, weights)[0](rng, world)
        yield from (one,) if isinstance(one, Sample) else one


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


def filled(arrays: Arrays, budget: Budget, merge: int) -> Arrays:
    """A batch with nothing more in it, whose arrays are as large as all of this budget: white pictures and
    conversations of nothing come behind its own, and what is learnt of them is NOTHING.
    """
    spare = budget.tokens - 1
    longer = {
        "patches": (budget.patches, 0), "places": (budget.patches, 0),
        "ids": (budget.tokens, 0), "positions": (budget.tokens, 0),
        "slots": (budget.patches // merge**2, spare),  # features of nothing all go to a token that nobody attends to
        "learnt": (budget.learnt, spare), "targets": (budget.learnt, NOTHING), "tasks": (budget.learnt, 0),
    }  # fmt: skip
    out = dict(arrays)
    for name, (size, value) in longer.items():
        old = arrays[name]
        axis = 1 if name in ("places", "positions") else 0
        room = [(0, 0)] * old.ndim
        room[axis] = (0, size - old.shape[axis])
        out[name] = np.pad(old, room, constant_values=value)
    out["picture_starts"] = _starts_of(arrays["picture_starts"], budget.patches, budget.conversations)
    out["text_starts"] = _starts_of(arrays["text_starts"], budget.tokens, budget.conversations)
    return out


def _starts_of(own: NDArray[np.int32], end: int, sequences: int) -> NDArray[np.int32]:
    """int32 [sequences + those that fill up + 1], of which the last may be empty."""
    out = np.full(sequences + -(-end // _FILLER) + 1, end, dtype=np.int32)
    out[: len(own)] = own
    fillers = np.arange(own[-1], end, _FILLER, dtype=np.int32)
    out[len(own) - 1 : len(own) - 1 + len(fillers)] = fillers
    return out


def _rounded(longest: int) -> int:
    """To few different numbers, for each of which a GPU's work is recorded; no less than what fills a batch up."""
    return next((size for size in (_FILLER, 2048, 6144) if longest <= size), longest)
