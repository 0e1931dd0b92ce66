"""Why an engine cannot start as configured, for the person who can change that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from upright.engine.memory_errors import is_out_of_memory


class StartError(Exception):
    """The engine cannot start as configured; `advice` is the one thing to change.

    `memory`: it lacks memory, so a smaller configuration may start, or the same one when others have let go of theirs.
    """

    def __init__(self, message: str, advice: str = "", memory: bool = False) -> None:
        super().__init__(message)
        self.advice = advice
        self.memory = memory


@contextmanager
def memory_for(what: str, advice: str) -> Iterator[None]:
    """Turn a failed allocation into a StartError."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise StartError(f"there is not enough memory for {what}: {error}", advice, memory=True) from error
