"""Batches that are trained on several times, where a GPU is faster than those who draw."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

KEPT = 1024  # batches that are there to choose from, of 30 MB of a GPU each

T = TypeVar("T")


@dataclass
class _Kept(Generic[T]):
    batch: T
    left: int  # times that it will be used yet


def reused(batches: Iterator[T], ready: Callable[[], bool], uses: int, seed: int) -> Iterator[T]:
    """Each of `batches` as soon as it is `ready`; until then one of those that came before, by chance, and none more
    than `uses` times.
    """
    rng = random.Random(seed)
    kept: list[_Kept[T]] = []
    while True:
        if ready() or not kept:
            try:
                batch = next(batches)
            except StopIteration:
                return
            if uses > 1:
                kept.append(_Kept(batch, uses - 1))
                if len(kept) > KEPT:
                    del kept[0]
            yield batch
            continue
        chosen = rng.randrange(len(kept))
        one = kept[chosen]
        one.left -= 1
        if not one.left:
            del kept[chosen]
        yield one.batch
