"""CUDA graphs that share one pool of device memory, because no two of them ever run at the same time."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Captured:
    """A graph, and where it leaves what it computes: a view that keeps nothing alive, and is good right after a replay
    only, because the pool's next graph writes over it.
    """

    graph: torch.cuda.CUDAGraph
    result: Tensor


class GraphPool:
    """Makes the graphs of one stream."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream
        self.bytes = 0  # that captures have taken of the device so far
        self._pool: Any = None  # torch's handle

    def capture(self, run: Callable[[], Tensor]) -> Captured:
        """The graph of what `run` launches on the stream; it returns a contiguous tensor.

        It must have run before, since a capture cannot compile, nor copy what is not on the device.
        Raises: torch.OutOfMemoryError.
        """
        graph = torch.cuda.CUDAGraph()
        collecting = gc.isenabled()
        free, _ = torch.cuda.mem_get_info(self.stream.device)
        try:
            gc.disable()  # what it would free may belong to CUDA, which forbids that during a capture
            with torch.cuda.stream(self.stream):
                # Threads that decode images pin memory meanwhile, which a capture may only forbid to its own thread.
                graph.capture_begin(self._pool, capture_error_mode="thread_local")
                try:
                    result = _borrowed(run())
                except torch.OutOfMemoryError:
                    with suppress(RuntimeError):  # the capture is void, and says so
                        graph.capture_end()
                    raise
                graph.capture_end()
        finally:
            if collecting:
                gc.enable()
        self._pool = self._pool or graph.pool()
        self.bytes += max(0, free - torch.cuda.mem_get_info(self.stream.device)[0])
        return Captured(graph, result)


class SizedGraphs:
    """Graphs of work that comes in sizes. Without a pool, as on a CPU, nothing is ever captured.

    `what`: the work, for the log.
    """

    def __init__(self, what: str, pool: GraphPool | None) -> None:
        self._what = what
        self._pool = pool
        self._captured: dict[int, Captured] = {}
        self._closed = pool is None  # no more are captured

    @property
    def bytes(self) -> int:
        """That captures have taken of the device so far."""
        return self._pool.bytes if self._pool is not None else 0

    def replay(self, size: int) -> Tensor | None:
        """What the graph of that size computes, to be read before the next replay; None where there is none."""
        known = self._captured.get(size)
        if known is None:
            return None
        known.graph.replay()
        return known.result

    def capture(self, size: int, run: Callable[[], Tensor]) -> bool:
        """Capture what `run` launches, as `GraphPool.capture` does; False where there is no memory for it."""
        if self._closed or self._pool is None:
            return False
        try:
            self._captured[size] = self._pool.capture(run)
        except torch.OutOfMemoryError as error:
            self._closed = True
            log.warning("no more CUDA graphs of %s: no memory is left for them: %s", self._what, error)
            torch.cuda.empty_cache()
            return False
        return True

    def first_missing(self, sizes: Iterable[int]) -> int | None:
        """The first of `sizes` that may still be captured."""
        return None if self._closed else next((size for size in sizes if size not in self._captured), None)


class _Borrowed:
    """Device memory as the array protocol describes it, without a hold on it."""

    def __init__(self, tensor: Tensor) -> None:
        self.__cuda_array_interface__ = {
            "shape": tuple(tensor.shape), "typestr": f"<i{tensor.element_size()}",
            "data": (tensor.data_ptr(), False), "version": 3, "strides": None,
        }  # fmt: skip


def _borrowed(tensor: Tensor) -> Tensor:
    """The same memory, which its pool may give to the next graph: 35 graphs with logits of their own are a gigabyte."""
    if not tensor.is_contiguous():
        raise ValueError("only contiguous tensors can be lent")
    return torch.as_tensor(_Borrowed(tensor), device=tensor.device).view(tensor.dtype)
