"""Sums the bytes of several downloads and tells them on as one progress."""

from __future__ import annotations

import threading
from collections.abc import Callable

from upright.messages import Loading


class DownloadMeter:
    """Bytes done and to do, from any number of threads. `progress` is called under a lock, never twice at once."""

    def __init__(self, progress: Callable[[Loading], None]) -> None:
        self.progress = progress
        self.lock = threading.Lock()
        self.done = 0
        self.total = 0

    def add(self, done: int = 0, total: int = 0) -> None:
        with self.lock:
            self.done += done
            self.total += total
            self.tell()

    def reach(self, done: int, total: int) -> None:
        """For a source that sums for itself: what it says, unless it said more before."""
        with self.lock:
            self.done = max(self.done, done)
            self.total = max(self.total, total)
            self.tell()

    def tell(self) -> None:
        if self.total:
            self.progress(Loading("download", self.done, self.total, "B"))
