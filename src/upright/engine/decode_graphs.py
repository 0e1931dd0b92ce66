"""Decode steps as CUDA graphs: one launch in place of hundreds.

A graph has a fixed number of rows; a step takes the smallest one that holds it and fills it up with dummy rows.
Graphs are captured when they are first wanted, or while the engine has nothing else to do, so that serving starts at
once. They share one pool of memory, and when that runs out, the sizes that were not captured yet are launched piece by
piece.
"""

from __future__ import annotations

import logging

import torch

from upright.engine.decode_step import DecodeStep
from upright.engine.footprint import extrapolated
from upright.engine.graph_pool import Captured, GraphPool
from upright.plan.memory import gib

log = logging.getLogger(__name__)

WARM_UPS = 2  # runs before a capture: kernels are compiled and libraries set up in the first


def graph_sizes(most: int) -> tuple[int, ...]:
    """Rows of the graphs for up to `most` sequences: 1, 2, 4, multiples of 8, of 16 above 128, and `most`."""
    sizes = [1, 2, 4, *range(8, 128, 8), *range(128, most + 1, 16)]
    return (*(size for size in sizes if size < most), most)


class DecodeGraphs:
    """`budget`: bytes that all graphs together may take on the device; with 0 of them none is captured."""

    def __init__(self, step: DecodeStep, stream: torch.cuda.Stream, budget: int) -> None:
        self.sizes = graph_sizes(step.most)
        self._step = step
        self._pool = GraphPool(stream)
        self._captured: dict[int, Captured] = {}
        self._budget = budget
        self._closed = None if budget else "there is no room for any"  # why no more are captured

    @property
    def bytes(self) -> int:
        """Taken so far."""
        return self._pool.bytes

    def graph_for(self, rows: int) -> tuple[int, Captured] | None:
        """A graph for a step of `rows` rows, and its size; None when there is no room for one.

        One of up to twice the size serves where it is there: a capture takes as long as dozens of steps, and is better
        made in an idle moment. Otherwise the fitting one is captured now.
        """
        fitting = self.size_for(rows)
        for size in self.sizes[self.sizes.index(fitting) :]:
            if size in self._captured and (size <= 2 * rows or self._closed is not None):
                return size, self._captured[size]
        found = self._capture(fitting) if self._closed is None else None
        return (fitting, found) if found is not None else None

    def size_for(self, rows: int) -> int:
        """The smallest size that holds `rows`."""
        return next(size for size in self.sizes if size >= rows)

    def capture_next(self) -> bool:
        """Capture one more size; False when there is nothing left to capture.

        The largest comes first: every other then finds the memory that it needs in the pool. Small ones follow.
        """
        if self._closed is not None:
            return False
        size = next((size for size in (self.sizes[-1], *self.sizes) if size not in self._captured), None)
        return size is not None and self._capture(size) is not None

    def bytes_of_all(self) -> int:
        """What graphs of all sizes take of the device, by capturing the two largest."""

        def capture(size: int) -> int:
            before = self.bytes
            self._capture(size)
            return self.bytes - before

        return extrapolated(list(self.sizes), capture)

    def _capture(self, size: int) -> Captured | None:
        try:
            with torch.cuda.stream(self._pool.stream):
                self._step.stage(size, (), (), ())  # dummies alone: a warm-up must not draw for anybody
                for _ in range(WARM_UPS):
                    self._step.run(size)
                self._pool.stream.synchronize()
            found = self._captured[size] = self._pool.capture(lambda: self._step.run(size))
        except torch.OutOfMemoryError as error:
            self._close(f"no memory is left for more: {error}")
            torch.cuda.empty_cache()
            return None
        if self._closed is None and self.bytes > self._budget:
            self._close(f"they take {gib(self.bytes)} of the {gib(self._budget)} that they may")
        return found

    def _close(self, why: str) -> None:
        self._closed = why
        if len(self._captured) < len(self.sizes):
            log.warning(
                "CUDA graphs for %d of %d batch sizes: %s; the other sizes are launched piece by piece",
                len(self._captured), len(self.sizes), why,
            )  # fmt: skip
