"""CUDA graphs of one kind of work, which comes in sizes: a few of them hold all the work, filled up with nobody's.

Work may be cut into pieces, each a graph, so that others get their turn between two of them.

Graphs are captured when they are first wanted, or while the engine has nothing else to do, so that serving starts at
once. When the room for them is spent, the sizes that were not captured yet are launched piece by piece.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from upright.engine.footprint import extrapolated
from upright.engine.graph_pool import Captured, GraphPool
from upright.plan.memory import gib

log = logging.getLogger(__name__)

Pieces = Sequence[Callable[[], Tensor]]  # launched one after the other; what the last returns is the result


class SizedGraphs:
    """Without a pool, as on a CPU, nothing is ever captured.

    `what`: the work, for the log. `sizes`: ascending. `prepare` runs the work of a size for nobody, so that everything
    is compiled, and returns what is to be captured of it; on the pool's stream.
    """

    def __init__(
        self, what: str, pool: GraphPool | None, sizes: Sequence[int], prepare: Callable[[int], Pieces]
    ) -> None:
        self.sizes = tuple(sizes)
        self._what = what
        self._pool = pool
        self._prepare = prepare
        self._captured: dict[int, tuple[Captured, ...]] = {}
        self._closed = pool is None

    @property
    def closed(self) -> bool:
        """No more are captured."""
        return self._closed

    def __contains__(self, size: int) -> bool:
        return size in self._captured

    def size_for(self, work: int) -> int:
        """The smallest size that holds `work`."""
        return self.sizes[bisect_left(self.sizes, work)]

    def replay(self, size: int, piece: int = 0) -> Tensor | None:
        """What a piece of the graph of that size computes, to be read before the next replay; None where there is none.

        All pieces have to be replayed, in their order, before those of another size.
        """
        known = self._captured.get(size)
        if known is None:
            return None
        known[piece].graph.replay()
        return known[piece].result

    def capture(self, size: int, pieces: Pieces | None = None) -> bool:
        """Capture a size, as `pieces` where they have just been launched; False where there is no room for it."""
        room = self._pool.room if self._pool is not None else None
        if not self._closed and room is not None and room.spent:
            self._close(f"all graphs take {gib(room.taken)} of the {gib(room.most)} that they may")
        return not self._closed and self._capture(size, pieces)

    def capture_next(self) -> bool:
        """Capture one more size; False when there is nothing left to capture.

        The largest comes first: every other then finds the memory that it needs in the pool. Small ones follow. The
        other way round each would take a piece of its own, since none that is there is large enough.
        """
        size = next((size for size in (self.sizes[-1], *self.sizes) if size not in self._captured), None)
        return size is not None and self.capture(size)

    def bytes_of_all(self) -> int:
        """What graphs of all sizes take of the device, by capturing the two largest, whatever room there is."""
        pool = self._pool
        if pool is None:
            return 0

        def capture(size: int) -> int:
            before = pool.room.taken
            self._capture(size, None)
            return pool.room.taken - before

        return extrapolated(list(self.sizes), capture)

    def _capture(self, size: int, pieces: Pieces | None) -> bool:
        assert self._pool is not None
        try:
            captured = tuple(map(self._pool.capture, pieces or self._prepare(size)))
        except torch.OutOfMemoryError as error:
            self._close(f"no memory is left for more: {error}")
            torch.cuda.empty_cache()
            return False
        self._captured[size] = captured
        return True

    def _close(self, why: str) -> None:
        self._closed = True
        if self._pool is not None and self._pool.room.most:  # otherwise there was never to be one
            log.warning(
                "CUDA graphs of %s for %d of %d sizes: %s; the others are launched piece by piece",
                self._what, len(self._captured), len(self.sizes), why,
            )  # fmt: skip
