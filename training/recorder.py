"""Work of a GPU that is recorded once and replayed: a step has thousands of kernels, and is over before Python has
launched them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

import torch

_BEFORE = 2  # times that work is done as it stands, which compiles its kernels and makes what it keeps


class Recorder:
    """For work that is always done on the same tensors, on a stream that is not the default one.

    All recordings share their memory, so nothing but tensors made outside of them outlives a piece of work. Where there
    is no GPU, or `active` is not, work is done as it stands.
    """

    def __init__(self, device: torch.device, active: bool = True) -> None:
        self._active = active and device.type == "cuda"
        self._done: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle() if self._active else None

    def do(self, key: Hashable, work: Callable[[], None]) -> None:
        """`key` says which work it is: the same key is the same kernels on the same tensors."""
        if not self._active or self._done[key] < _BEFORE:
            self._done[key] += 1
            work()
            return
        if key not in self._recorded:
            graph = torch.cuda.CUDAGraph()
            # batches are copied by another thread meanwhile
            with torch.cuda.graph(graph, self._pool, torch.cuda.current_stream(), capture_error_mode="thread_local"):
                work()
            self._recorded[key] = graph
        self._recorded[key].replay()
