"""What benches of an engine and of a server have in common."""

from __future__ import annotations


class CannotMeasure(Exception):
    """Nothing, or nothing more, can be measured; the message is for the person at the terminal."""
