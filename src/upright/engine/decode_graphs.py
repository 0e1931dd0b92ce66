"""Decode steps as CUDA graphs: one launch in place of hundreds.

A graph has a fixed number of rows; a step takes the smallest one that holds it and fills it up with dummy rows.
"""

from __future__ import annotations

from torch import Tensor

from upright.engine.decode_step import DecodeStep
from upright.engine.graph_pool import GraphPool
from upright.engine.places import NOBODY
from upright.engine.sized_graphs import Pieces, SizedGraphs

WARM_UPS = 2  # runs before a capture: kernels are compiled and libraries set up in the first


def graph_sizes(most: int) -> tuple[int, ...]:
    """Rows of the graphs for up to `most` sequences: 1, 2, 4, multiples of 8, of 16 above 128, and `most`."""
    sizes = [1, 2, 4, *range(8, 128, 8), *range(128, most + 1, 16)]
    return (*(size for size in sizes if size < most), most)


class DecodeGraphs:
    """One thread calls it, on the pool's stream."""

    def __init__(self, step: DecodeStep, pool: GraphPool) -> None:
        self._step = step
        self._stream = pool.stream
        self._graphs = SizedGraphs("decode steps", pool, graph_sizes(step.most), self._prepare)

    def size_for(self, rows: int) -> int | None:
        """Rows of a graph for a step of `rows`; None when there is no room for one.

        One of up to twice the size serves where it is there: a capture takes as long as dozens of steps, and is better
        made in an idle moment. Otherwise the fitting one is captured now.
        """
        graphs = self._graphs
        fitting = graphs.size_for(rows)
        for size in graphs.sizes[graphs.sizes.index(fitting) :]:
            if size in graphs and (size <= 2 * rows or graphs.closed):
                return size
        return fitting if graphs.capture(fitting) else None

    def replay(self, size: int) -> Tensor:
        """Logits [size, vocabulary] of the staged step, to be read before the next replay."""
        logits = self._graphs.replay(size)
        assert logits is not None, "only sizes that `size_for` gave"
        return logits

    def capture_next(self) -> bool:
        """Capture one more size; False when there is nothing left to capture."""
        return self._graphs.capture_next()

    def bytes_of_all(self) -> int:
        """What graphs of all sizes take of the device, by capturing some; for an engine that serves nobody."""
        return self._graphs.bytes_of_all()

    def _prepare(self, size: int) -> Pieces:
        self._step.stage(size, NOBODY, ())  # dummies alone: a warm-up must not draw for anybody
        for _ in range(WARM_UPS):
            self._step.run(size)
        self._stream.synchronize()
        return (lambda: self._step.run(size),)
