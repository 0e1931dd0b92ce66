"""Requests whose images are being decoded, in threads, before the scheduler hears of them.

Only a few are handed to the threads at a time, and only by `start`, so that the black box can name them all before any
decoder touches their bytes: a file that brings the process down brings it down under its own name. What is decoded
already, or has its features in the encoder cache, is not decoded again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from upright.engine.images import ImageDecoder, ImageFault
from upright.engine.pixels import PixelStore
from upright.messages import Image, Request, RequestFault

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = min(16, max(2, CORES // 2))  # the other cores are for the front and for the thread that feeds the device
AT_ONCE = max(8, 2 * THREADS)  # requests handed to the threads; enough to keep them busy during a step
AHEAD_BYTES = 1 << 30  # of decoded images that wait for the tower: no more are begun beyond


class Keys(Protocol):
    """Some images' keys."""

    def __contains__(self, key: bytes, /) -> bool: ...


@dataclass
class _Entry:
    request: Request
    since: float  # when it was chosen, CLOCK_MONOTONIC in seconds
    images: dict[bytes, Image]  # what is to be decoded, by key
    futures: dict[bytes, Future[Tensor]] | None = None


class ImageQueue:
    """One thread calls it; the decoding itself happens in threads of its own. Pixels go to `store`."""

    def __init__(self, decoder: ImageDecoder, store: PixelStore) -> None:
        self._decoder = decoder
        self._store = store
        # A CPU has the steps to compute, with all of its cores.
        threads = min(2, THREADS) if decoder.device.type == "cpu" else THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="image")
        self._waiting: deque[Request] = deque()
        self._chosen: dict[str, _Entry] = {}  # oldest first
        self._futures: dict[bytes, Future[Tensor]] = {}  # of all that are chosen: equal images are decoded once

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
        if request_id in self._chosen:
            entry = self._chosen.pop(request_id)
            for key in entry.futures or {}:
                self._let_go(key)
            return True
        for request in self._waiting:
            if request.id == request_id:
                self._waiting.remove(request)
                return True
        return False

    def collect(self, encoded: Keys) -> list[tuple[Request, RequestFault | None]]:
        """Take the requests that are done, and choose the next ones. `encoded` holds the keys of images whose features
        are there.

        Raises: what a decoder failed with, if not an ImageFault; the fault is this machine's then and not the image's.
        """
        done: list[tuple[Request, RequestFault | None]] = []
        for entry in list(self._chosen.values()):
            if entry.futures is not None and all(future.done() for future in entry.futures.values()):
                del self._chosen[entry.request.id]
                done.append((entry.request, self._keep(entry, encoded)))
        while self._waiting and len(self._chosen) < AT_ONCE and self._store.bytes < AHEAD_BYTES:
            request = self._waiting.popleft()
            images = {
                image.key: image
                for image in request.images
                if image.key not in encoded and image.key not in self._store
            }
            if images:
                self._chosen[request.id] = _Entry(request, time.monotonic(), images)
            else:
                done.append((request, None))
        return done

    def start(self) -> None:
        """Hand what was chosen to the threads."""
        for entry in self._chosen.values():
            if entry.futures is None:
                entry.futures = {key: self._future(image) for key, image in entry.images.items()}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _future(self, image: Image) -> Future[Tensor]:
        if image.key not in self._futures:
            self._futures[image.key] = self._threads.submit(self._decoder.decode, image)
        return self._futures[image.key]

    def _keep(self, entry: _Entry, encoded: Keys) -> RequestFault | None:
        """Store what was decoded for a request; returns the fault of its first image that cannot be."""
        futures = entry.futures or {}
        for key in futures:
            self._let_go(key)
        for index, image in enumerate(entry.request.images):
            if image.key in futures:
                try:
                    futures[image.key].result()
                except ImageFault as fault:
                    return fault.told(index)
        for key, future in futures.items():
            if key not in encoded:
                self._store.put(key, future.result())
        return None

    def _let_go(self, key: bytes) -> None:
        """One that waited for an image no longer does."""
        if not any(key in (entry.futures or ()) for entry in self._chosen.values()):
            self._futures.pop(key).cancel()
