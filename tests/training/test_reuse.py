"""Batches are used again while none is ready."""

from __future__ import annotations

from collections import Counter
from itertools import count, islice

from training.reuse import KEPT, reused


def test_new_ones_come_first_and_old_ones_fill_the_time() -> None:
    turns = count()
    found = list(islice(reused(count(), lambda: next(turns) % 3 == 0, uses=8, seed=1), 3000))

    assert found[::3] == list(range(1000)), "one of three was ready, and was taken at once"
    assert all(again < len(set(found[: at + 1])) for at, again in enumerate(found))
    used = Counter(found)
    assert max(used.values()) <= 8 and 2.5 < sum(used.values()) / len(used) < 3.5
    assert all(new - old < 4 * KEPT for new, old in zip(found[::3], found[1::3], strict=False))


def test_none_is_used_more_often_than_is_said() -> None:
    found = Counter(islice(reused(count(), lambda: False, uses=3, seed=1), 300))

    assert set(found.values()) == {3} and len(found) == 100


def test_without_reuse_they_are_what_they_were() -> None:
    assert list(reused(iter(range(5)), lambda: False, 1, 1)) == [0, 1, 2, 3, 4]
