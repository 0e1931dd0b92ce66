"""What the rooms to the left (`chat`, `api`) see of a running engine."""

from __future__ import annotations

from typing import Literal, Protocol

from upright.messages import EngineStats, Ready, Request
from upright.supervise.journal import Entry

EngineState = Literal["starting", "ready", "recovering", "draining", "failed"]


class Overloaded(Exception):
    """The queue is full. Clients are told 429 and when to come back."""

    def __init__(self, waiting: int, limit: int, retry_after: int) -> None:
        super().__init__(f"the server's queue is full: {waiting} requests wait, the limit is {limit}")
        self.retry_after = retry_after  # seconds


class EngineUnavailable(Exception):
    """No engine serves now and none can take the request. Clients are told 503 and when to come back."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class EngineService(Protocol):
    """An engine that takes requests. Implemented by `supervise.supervisor.Supervisor`; tests script their own."""

    @property
    def state(self) -> EngineState: ...

    @property
    def ready(self) -> Ready | None:
        """What the serving engine said of itself; None while none serves."""
        ...

    @property
    def stats(self) -> EngineStats | None:
        """The newest step's gauges and counters; None before the engine's first step."""
        ...

    @property
    def retry_after(self) -> int:
        """Seconds after which a client that is turned away now should come back; at least 1."""
        ...

    def admit(self, sequences: int) -> None:
        """Ask for room for so many sequences. Raises: Overloaded, EngineUnavailable."""
        ...

    def submit(self, request: Request) -> Entry:
        """Put the request into the journal, then hand it to the engine. Raises: Overloaded, EngineUnavailable."""
        ...

    def release(self, request_id: str) -> None:
        """The client has everything, or has gone: drop the entry, and stop the engine's work on it if any is left."""
        ...
