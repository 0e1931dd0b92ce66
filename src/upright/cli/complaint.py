"""How a command ends that cannot do what it was asked: one line for the person at the terminal, and an exit code."""

from __future__ import annotations

import sys

EXIT_FAILED = 1
EXIT_USAGE = 2


class CannotServe(Exception):
    """The server cannot start; the message is for the person at the terminal."""


def complain(message: str) -> None:
    print(f"upright: {message}", file=sys.stderr)
