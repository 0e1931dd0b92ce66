"""What the command knows of a bench, be it of an engine or of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

    from upright.cli.bench.progress import Progress


class CannotMeasure(Exception):
    """Nothing, or nothing more, can be measured; the message is for the person at the terminal."""


class Bench(Protocol):
    """It keeps what is finished, so that whatever ends it loses none of that."""

    rows: list[dict[str, Any]]
    complete: bool  # whether all was measured that was to be

    def measure(self, progress: Progress) -> None:
        """Raises: ConfigError, CannotMeasure, OSError."""

    def show(self, console: Console) -> None:
        """Print what is finished, and what is missing and why."""

    def figures(self) -> dict[str, Any]:
        """What is finished, for a file."""
