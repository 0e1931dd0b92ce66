"""Where Upright keeps what must outlive it, unless the operator names another place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile


class NoStateDirectory(OSError):
    """There is no place to keep anything; the message says how to give one."""


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_STATE_HOME/upright`, or `~/.local/state/upright`. It need not exist. Raises: NoStateDirectory.

    A relative XDG_STATE_HOME is passed over, as the XDG base directory specification asks.
    """
    base = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "upright"
    try:
        home = Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    except RuntimeError as error:
        raise NoStateDirectory(f"no place to keep reports: {error}; set HOME, or give --state-dir") from error
    return home / ".local" / "state" / "upright"


def make_writable(state: Path) -> None:
    """Make the directory if need be, and find out now whether anything can be kept in it. Raises: NoStateDirectory."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=state):
            pass
    except OSError as error:
        raise NoStateDirectory(f"nothing can be kept in {state}: {error.strerror}; give --state-dir") from error


def incidents_directory(state: Path) -> Path:
    return state / "incidents"
