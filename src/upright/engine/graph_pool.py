"""CUDA graphs that share one pool of device memory, because no two of them ever run at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from upright.kernels.capturing import captured_as


@dataclass(frozen=True)
class Captured:
    """A graph, and where it leaves what it computes: a view that keeps nothing alive, and is good right after a replay
    only, because the pool's next graph writes over it.
    """

    graph: torch.cuda.CUDAGraph
    result: Tensor


class GraphRoom:
    """Device memory for all graphs of an engine, whatever their stream. `most`: bytes; 0: none may be captured yet."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0  # bytes so far

    @property
    def spent(self) -> bool:
        return self.taken >= self.most


class GraphPool:
    """Makes the graphs of one stream."""

    def __init__(self, stream: torch.cuda.Stream, room: GraphRoom) -> None:
        self.stream = stream
        self.room = room
        self._pool: Any = None  # torch's handle

    def capture(self, run: Callable[[], Tensor]) -> Captured:
        """The graph of what `run` launches on the stream; it returns a contiguous tensor.

        It must have run before, since a capture cannot compile, nor copy what is not on the device.
        Raises: torch.OutOfMemoryError.
        """
        graph = torch.cuda.CUDAGraph()
        free, _ = torch.cuda.mem_get_info(self.stream.device)
        with torch.cuda.stream(self.stream), captured_as(graph, self._pool):
            result = _borrowed(run())
        self._pool = self._pool or graph.pool()
        self.room.taken += max(0, free - torch.cuda.mem_get_info(self.stream.device)[0])
        return Captured(graph, result)


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
