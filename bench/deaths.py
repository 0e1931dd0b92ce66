"""Ways in which an engine dies. Some are signals; the others are asked for with `--test-faults`."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

SIGNALS = {
    "kill": signal.SIGKILL,
    "segv": signal.SIGSEGV,
    "abort": signal.SIGABRT,
    "term": signal.SIGTERM,
    "stop": signal.SIGSTOP,
}
FAULTS = ("raise", "exit", "memory", "spin", "close", "astray")  # `upright.engine.faults` says what they do
KINDS = (*SIGNALS, *FAULTS)


def needs_faults(kinds: list[str]) -> bool:
    return any(kind in FAULTS for kind in kinds)


def strike(kind: str, pid: int, faults: Path) -> None:
    """Have the engine die now, or inside its next step. `faults`: the server's directory of `--test-faults`."""
    if kind in SIGNALS:
        with contextlib.suppress(ProcessLookupError):  # it has died by itself
            os.kill(pid, SIGNALS[kind])
        return
    aside = faults / "aside"
    aside.touch()
    aside.rename(faults / f"step-{kind}")  # it has to appear whole
