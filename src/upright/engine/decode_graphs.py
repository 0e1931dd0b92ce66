"""Decode steps as CUDA graphs: one launch in place of hundreds.

A graph has a fixed number of rows; a step takes the smallest one that holds it and fills it up with dummy rows.
Graphs are captured when they are first wanted, or while the engine has nothing else to do, so that serving starts at
once. They share one pool of memory, and when that runs out, the sizes that were not captured yet are launched piece by
piece.
"""

from __future__ import annotations

import gc
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from upright.engine.decode_step import DecodeStep
from upright.engine.footprint import extrapolated
from upright.plan.memory import gib

log = logging.getLogger(__name__)

WARM_UPS = 2  # runs before a capture: kernels are compiled and libraries set up in the first


@dataclass(frozen=True)
class Captured:
    graph: torch.cuda.CUDAGraph
    logits: Tensor  # a view that keeps nothing alive: right after a replay only, the pool's next graph writes over it


def graph_sizes(most: int) -> tuple[int, ...]:
    """Rows of the graphs for up to `most` sequences: 1, 2, 4, multiples of 8, of 16 above 128, and `most`."""
    sizes = [1, 2, 4, *range(8, 128, 8), *range(128, most + 1, 16)]
    return (*(size for size in sizes if size < most), most)


class DecodeGraphs:
    """`budget`: bytes that all graphs together may take on the device; with 0 of them none is captured."""

    def __init__(self, step: DecodeStep, stream: torch.cuda.Stream, budget: int) -> None:
        self.sizes = graph_sizes(step.most)
        self._step = step
        self._stream = stream
        self._pool: Any = None  # torch's handle of a pool
        self._captured: dict[int, Captured] = {}
        self._budget = budget
        self.bytes = 0  # taken so far
        self._closed = None if budget else "there is no room for any"  # why no more are captured

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
        device = self._stream.device
        graph = torch.cuda.CUDAGraph()
        collecting = gc.isenabled()
        try:
            with torch.cuda.stream(self._stream):
                self._step.stage(size, (), (), ())  # dummies alone: a warm-up must not draw for anybody
                for _ in range(WARM_UPS):
                    self._step.run(size)
                self._stream.synchronize()
                free, _ = torch.cuda.mem_get_info(device)
                gc.disable()  # what it would free may belong to CUDA, which forbids that during a capture
                # Threads that decode images pin memory meanwhile, which a capture may only forbid to its own thread.
                graph.capture_begin(self._pool, capture_error_mode="thread_local")
                try:
                    logits = _borrowed(self._step.run(size))
                except torch.OutOfMemoryError:
                    with suppress(RuntimeError):  # the capture is void, and says so
                        graph.capture_end()
                    raise
                graph.capture_end()
        except torch.OutOfMemoryError as error:
            self._close(f"no memory is left for more: {error}")
            torch.cuda.empty_cache()
            return None
        finally:
            if collecting:
                gc.enable()
        self._pool = self._pool or graph.pool()
        self.bytes += max(0, free - torch.cuda.mem_get_info(device)[0])
        found = self._captured[size] = Captured(graph, logits)
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


class _Borrowed:
    """Device memory as the array protocol describes it, without a hold on it."""

    def __init__(self, tensor: Tensor) -> None:
        self.__cuda_array_interface__ = {
            "shape": tuple(tensor.shape), "typestr": f"|i{tensor.element_size()}".replace("|", "<"),
            "data": (tensor.data_ptr(), False), "version": 3, "strides": None,
        }  # fmt: skip


def _borrowed(tensor: Tensor) -> Tensor:
    """The same memory, which its pool may give to the next graph: 35 graphs with logits of their own are a gigabyte."""
    if not tensor.is_contiguous():
        raise ValueError("only contiguous logits can be lent")
    return torch.as_tensor(_Borrowed(tensor), device=tensor.device).view(tensor.dtype)
