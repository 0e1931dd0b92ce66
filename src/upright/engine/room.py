"""A number of bytes that threads share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Whoever needs more than is left waits for it, in turn; who needs more than there is has it all alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._turn = threading.Lock()  # held while waiting, so that a large need is not overtaken for ever
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """`size` bytes, for as long as the block lasts."""
        size = min(size, self._size)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
