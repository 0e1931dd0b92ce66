"""Batches that are trained on several times, where a GPU is faster than those who draw."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

KEPT = 32  # batches that are there to choose from

T = TypeVar("T")


@dataclass
class _Kept(Generic[T]):
    batch: T
    left: int  # times that it will be used yet


def reused(batches: Iterable[T], uses: int, seed: int) -> Iterator[T]:
    """Each of `batches` `uses` times, in an order of chance that depends on `seed` alone; what is left in the end, of
    KEPT, is not used up.
    """
    if uses == 1:
        yield from batches
        return
    rng = random.Random(seed)
    kept: list[_Kept[T]] = []
    for batch in batches:
        kept.append(_Kept(batch, uses))
        if len(kept) < KEPT:
            continue
        for _ in range(uses):
            chosen = rng.randrange(len(kept))
            one = kept[chosen]
            one.left -= 1
            if not one.left:
                kept[chosen] = kept[-1]
                kept.pop()
            yield one.batch
