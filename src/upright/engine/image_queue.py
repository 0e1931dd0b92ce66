"""Requests whose images are being decoded, in threads, before the scheduler hears of them.

Only a few are handed to the threads at a time, and only by `start`, so that the black box can name them all before any
decoder touches their bytes: a file that brings the process down brings it down under its own name.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from torch import Tensor

from upright.engine.images import ImageFault, decode_image
from upright.messages import Request

THREADS = 2  # images decoded at the same time; each may take a few hundred MB while it lasts
AT_ONCE = 4 * THREADS  # requests handed to the threads; enough to keep them busy during a step

Pixels = tuple[Tensor, ...]


@dataclass
class _Entry:
    request: Request
    since: float  # when it was chosen, CLOCK_MONOTONIC in seconds
    future: Future[Pixels] | None = field(default=None)


class ImageQueue:
    """One thread calls it; the decoding itself happens in threads of its own."""

    def __init__(self, patch_size: int) -> None:
        self._patch_size = patch_size
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="image")
        self._waiting: deque[Request] = deque()
        self._chosen: dict[str, _Entry] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._waiting) + len(self._chosen)

    @property
    def decoding(self) -> tuple[str, ...]:
        """Ids of the requests that are being decoded, or will be from the next `start` on."""
        return tuple(self._chosen)

    @property
    def decoding_since(self) -> float:
        """When the oldest of them was chosen; 0.0 if there is none."""
        return next(iter(self._chosen.values())).since if self._chosen else 0.0

    def add(self, request: Request) -> None:
        self._waiting.append(request)

    def discard(self, request_id: str) -> bool:
        """Forget a request; False if it is not here."""
        entry = self._chosen.pop(request_id, None)
        if entry is not None:
            if entry.future is not None:
                entry.future.cancel()
            return True
        for request in self._waiting:
            if request.id == request_id:
                self._waiting.remove(request)
                return True
        return False

    def collect(self) -> list[tuple[Request, Pixels | ImageFault]]:
        """Take the requests that are done, and choose the next ones. Raises: what a decoder failed with, if not an
        ImageFault; the fault is this machine's then and not the image's.
        """
        done: list[tuple[Request, Pixels | ImageFault]] = []
        for entry in list(self._chosen.values()):
            if entry.future is not None and entry.future.done():
                del self._chosen[entry.request.id]
                try:
                    done.append((entry.request, entry.future.result()))
                except ImageFault as fault:
                    done.append((entry.request, fault))
        while self._waiting and len(self._chosen) < AT_ONCE:
            request = self._waiting.popleft()
            self._chosen[request.id] = _Entry(request, time.monotonic())
        return done

    def start(self) -> None:
        """Hand what was chosen to the threads."""
        for entry in self._chosen.values():
            if entry.future is None:
                entry.future = self._threads.submit(self._decode, entry.request)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode(self, request: Request) -> Pixels:
        return tuple(decode_image(image, number, self._patch_size) for number, image in enumerate(request.images, 1))
