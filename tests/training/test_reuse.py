from __future__ import annotations

from collections import Counter
from itertools import count, islice

from training.reuse import KEPT, reused


def test_each_is_used_as_often_as_is_said() -> None:
    found = Counter(islice(reused(count(), uses=3, seed=1), 3000))

    assert max(found.values()) == 3
    assert sum(times == 3 for times in found.values()) > 900
    assert max(found) < 1000 + KEPT  # and no more are drawn than that takes


def test_the_order_depends_on_the_seed_alone() -> None:
    first, again, other = (list(islice(reused(count(), 2, seed), 400)) for seed in (1, 1, 2))

    assert first == again != other
    assert list(islice(reused(count(), 1, 1), 5)) == [0, 1, 2, 3, 4]
