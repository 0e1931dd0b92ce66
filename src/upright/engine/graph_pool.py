"""CUDA graphs that share one pool of device memory, because no two of them ever run at the same time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor


class GraphPool:
    """Graphs of one stream. What one of them leaves in the pool is there until the next one runs."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream
        self.bytes = 0  # that captures have taken of the device so far
        self._pool: Any = None  # torch's handle

    def capture(self, run: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """The graph of what `run` launches on the stream, and the tensor that it returns, which must be contiguous.

        That is a view which keeps nothing alive: right after a replay only, the next graph of the pool writes over it.
        `run` must have run before, since a capture cannot compile, nor copy what is not on the device.
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
        return graph, result


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
