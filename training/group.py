"""Several GPUs that train one model: each has batches of its own, and all take the mean of their gradients.

Started by torchrun, which tells each process its place; without it there is one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Place:
    """Of a process among those that train."""

    rank: int
    size: int

    @classmethod
    def here(cls) -> Place:
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """A GPU of its own, or the CPU where there is none."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


class Group:
    """Joined before the first step by all of its processes. Use as a context."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __enter__(self) -> Group:
        if self.place.size > 1:
            distributed.init_process_group("nccl" if self.place.device.type == "cuda" else "gloo")
        return self

    def __exit__(self, *_: object) -> None:
        if self.place.size > 1:
            distributed.destroy_process_group()

    def average(self, gradients: Tensor) -> None:
        """They become the mean of what they are in all processes."""
        if self.place.size > 1:
            distributed.all_reduce(gradients)
            gradients /= self.place.size

    def told(self, value: float) -> float:
        """What it is in the first process."""
        if self.place.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.place.device)
        distributed.broadcast(shared, 0)
        return float(shared)
