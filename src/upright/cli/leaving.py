"""Ctrl-C before anything has been started. NOTE: it imports next to nothing, because it is wanted before all else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # exit code, as shells have it: 128 + SIGINT


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Inside, Ctrl-C ends the process on the spot, without a word.

    KeyboardInterrupt would not do: raised in the midst of an import it may come out as another exception. Where SIGINT
    is ignored, or somebody else's, it stays so.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
