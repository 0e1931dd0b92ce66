"""Memory of the host that goes to a device, or comes from it, while the host goes on."""

from __future__ import annotations

import torch
from torch import Tensor

COUNT = 4  # more than steps can be queued, so that none is written while it is read


class HostBuffers:
    """Buffers [size] that take turns, pinned where `device` is a GPU."""

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        pinned = device.type == "cuda"
        self._buffers = [torch.zeros(size, dtype=dtype, pin_memory=pinned) for _ in range(COUNT)]
        self._turn = 0

    def next(self) -> Tensor:
        """The buffer that was used the longest ago."""
        self._turn = (self._turn + 1) % COUNT
        return self._buffers[self._turn]
