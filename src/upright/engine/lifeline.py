"""A process that must not outlive the one that started it, in whatever way that one goes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends; where there is no such kernel, do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with(life_fd: int) -> None:
    """End this process as soon as its parent is gone: the kernel's signal, and a pipe for where that does not reach.

    `life_fd` reads end-of-file when nobody holds the other end any more.
    """
    die_with_parent()

    def watch() -> None:
        while os.read(life_fd, 1):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="front-watch", daemon=True).start()
