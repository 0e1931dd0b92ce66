"""Batches on the device, copied while it computes."""

from __future__ import annotations

import queue
import threading
from functools import partial

import torch

from training.feeder import Feeder
from training.model import TENSORS, Batch, to_device


class Ahead:
    """An endless iterator over what a feeder makes. Raises: RuntimeError, where that has failed."""

    def __init__(self, feeder: Feeder, device: torch.device) -> None:
        self._feeder = feeder
        self._device = device
        self.taken = 0
        self._copied: queue.Queue[Batch | RuntimeError] = queue.Queue(maxsize=4)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        threading.Thread(target=self._fill, daemon=True).start()

    def ready(self) -> bool:
        """Whether the next one is there already."""
        return not self._copied.empty()

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Batch:
        batch = self._copied.get()
        if isinstance(batch, RuntimeError):
            raise batch
        self.taken += 1
        if self._stream is not None:
            for name in TENSORS:  # whose memory may be written to again when they have been used here
                getattr(batch, name).record_stream(torch.cuda.current_stream(self._device))
        return batch

    def _fill(self) -> None:
        try:
            while True:
                with torch.cuda.stream(self._stream):
                    batch = self._feeder.take(partial(to_device, device=self._device))
                if self._stream is not None:
                    self._stream.synchronize()
                self._copied.put(batch)
        except RuntimeError as error:
            self._copied.put(error)
