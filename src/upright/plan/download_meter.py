"""Sums the bytes of several downloads and tells them on as one progress."""

from __future__ import annotations

import threading
from collections.abc import Callable

from upright.messages import Loading


class DownloadMeter:
    """Bytes done and to do, from any number of threads. `progress` is called under a lock, never twice at once."""

    def __init__(self, progress: Callable[[Loading], None]) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._done = 0
        self._total = 0

    def expect(self, total: int) -> None:
        """Bytes of all that is to be downloaded."""
        self._total = total

    def add(self, done: int) -> None:
        with self._lock:
            self._tell(self._done + done)

    def reach(self, done: int) -> None:
        """For a source that sums for itself: what it says, unless it said more before."""
        with self._lock:
            self._tell(max(self._done, done))

    def finish(self) -> None:
        """Everything is there, whether it was downloaded now or before."""
        with self._lock:
            self._tell(self._total)

    def _tell(self, done: int) -> None:
        self._done = min(done, self._total)
        if self._total:
            self._progress(Loading("download", self._done, self._total, "B"))
