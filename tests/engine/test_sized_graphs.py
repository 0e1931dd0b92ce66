"""Which sizes are captured, in which order, and when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from upright.engine.graph_pool import GraphRoom
from upright.engine.sized_graphs import Pieces, SizedGraphs
from upright.plan.memory import gib

SIZES = (1, 2, 4, 8)


class Pool:
    """Of a device where a graph takes 10 bytes beyond what the largest brought, or is the largest and brings 100."""

    def __init__(self, most: int, free: int = 1 << 40) -> None:
        self.room = GraphRoom(most)
        self.free = free
        self.largest = 0

    def capture(self, run: Callable[[], Tensor]) -> Any:
        size = len(run())
        taken = 100 if size > self.largest else 10
        if taken > self.free:
            raise torch.OutOfMemoryError("no memory")
        self.largest = max(self.largest, size)
        self.free -= taken
        self.room.taken += taken
        return SimpleNamespace(graph=SimpleNamespace(replay=lambda: None), result=run())


class Work:
    def __init__(self, pool: Any) -> None:
        self.prepared: list[int] = []
        self.graphs = SizedGraphs("this work", pool, SIZES, self.prepare)

    def prepare(self, size: int) -> Pieces:
        self.prepared.append(size)
        return [lambda: torch.arange(size)]


def test_the_largest_is_captured_first_and_then_the_small_ones() -> None:
    pool = Pool(1 << 30)
    work = Work(pool)
    captured = 0
    while work.graphs.capture_next():
        captured += 1
    assert captured == len(SIZES) and work.prepared == [8, 1, 2, 4]
    assert pool.room.taken == 130, "one brings memory for all"
    assert not work.graphs.closed


def test_what_was_just_launched_is_captured_as_it_is() -> None:
    work = Work(Pool(1 << 30))
    assert work.graphs.replay(2) is None
    assert work.graphs.capture(2, [lambda: torch.full((2,), 7)])
    assert work.prepared == [] and 2 in work.graphs and 4 not in work.graphs
    replayed = work.graphs.replay(2)
    assert replayed is not None and replayed.tolist() == [7, 7]


def test_pieces_are_captured_together_and_replayed_one_by_one() -> None:
    work = Work(Pool(1 << 30))
    assert work.graphs.capture(2, [lambda: torch.full((2,), 1), lambda: torch.full((2,), 2)])
    replayed = [work.graphs.replay(2, piece) for piece in (0, 1)]
    assert [left.tolist() for left in replayed if left is not None] == [[1, 1], [2, 2]]


def test_of_pieces_all_or_none_are_captured() -> None:
    work = Work(Pool(1 << 30, free=105))
    assert not work.graphs.capture(2, [lambda: torch.full((2,), 1), lambda: torch.full((2,), 2)])
    assert 2 not in work.graphs and work.graphs.closed


def test_a_size_holds_what_is_no_larger() -> None:
    graphs = Work(None).graphs
    assert [graphs.size_for(work) for work in (1, 2, 3, 8)] == [1, 2, 4, 8]


def test_none_is_captured_beyond_the_room(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(Pool(105))
    with caplog.at_level(logging.WARNING):
        captured = 0
        while work.graphs.capture_next():
            captured += 1
        assert not work.graphs.capture(4)
    assert captured == 2 and work.graphs.closed
    assert [record.message for record in caplog.records] == [
        f"CUDA graphs of this work for 2 of 4 sizes: all graphs take {gib(110)} of the {gib(105)} that they may; "
        "the others are launched piece by piece"
    ]


def test_kinds_share_the_room() -> None:
    pool = Pool(140)
    first, second = Work(pool), Work(pool)
    while first.graphs.capture_next():
        pass
    assert second.graphs.capture_next() and not second.graphs.capture_next()


def test_a_lack_of_memory_ends_it_and_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(Pool(1 << 30, free=115))
    with caplog.at_level(logging.WARNING):
        assert work.graphs.capture_next() and work.graphs.capture_next() and not work.graphs.capture_next()
    assert "no memory" in caplog.text and work.graphs.closed
    assert work.graphs.replay(8) is not None and work.graphs.replay(2) is None


def test_without_room_two_are_captured_to_see_what_all_take(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(Pool(0))
    with caplog.at_level(logging.WARNING):
        assert not work.graphs.capture(4, [lambda: torch.arange(4)]), "none that serves"
        assert work.graphs.bytes_of_all() == 130
    assert work.prepared == [8, 4] and not caplog.records


def test_without_a_pool_there_are_none() -> None:
    work = Work(None)
    assert work.graphs.bytes_of_all() == 0 and not work.graphs.capture_next() and not work.graphs.capture(1)
    assert work.prepared == []
