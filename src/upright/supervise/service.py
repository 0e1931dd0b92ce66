"""What the rooms to the left (`chat`, `api`) see of a running engine."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from upright.messages import EngineStats, Ready, Request
from upright.supervise.journal import Entry

EngineState = Literal["starting", "ready", "recovering", "draining", "failed"]


class Overloaded(Exception):
    """The queue is full. Clients are told 429 and when to come back."""

    def __init__(self, waiting: int, limit: int, retry_after: int) -> None:
        super().__init__(f"the server's queue is full: {waiting} requests wait, the limit is {limit}")
        self.retry_after = retry_after  # seconds


class NeverAdmitted(Exception):
    """A request asks for more sequences than the server ever holds. Clients are told 400, and the numbers."""

    def __init__(self, sequences: int, running: int, waiting: int) -> None:
        super().__init__(
            f"the request asks for {sequences} answers at a time, and the server never holds more than "
            f"{running + waiting}: {running} run (--max-num-seqs) and {waiting} wait (--max-queue); ask for fewer at a "
            "time, or have the server started with a larger --max-queue"
        )


class EngineUnavailable(Exception):
    """No engine serves now and none can take the request. Clients are told 503 and when to come back."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class EngineStatus(msgspec.Struct, frozen=True):
    """One process. `state`: importing, loading or ready; a standby is importing or waiting."""

    rank: int
    pid: int
    state: str


class LastDeath(msgspec.Struct, frozen=True):
    time: str  # ISO 8601 with offset
    incident: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is, as GET /status tells it. Counters are since the start of the front."""

    state: EngineState
    reason: str = ""  # why there is no engine, where there is none
    retry_after: int | None = None  # seconds until it may serve again; None while it does
    rung: int
    rung_name: str
    rungs: tuple[str, ...]  # from fastest to safest
    engines: tuple[EngineStatus, ...]
    standby: EngineStatus | None
    in_flight: int  # requests that have not ended
    on_trial: int  # suspects of a death that are being tried apart
    deaths: int
    recoveries: int  # deaths after which another engine has served
    recovery_seconds: float  # from deaths until everything that was in flight had its next token, all together
    replays: int  # requests that were handed to another engine
    recovered_tokens: int  # that they had by then
    last_death: LastDeath | None


class EngineService(Protocol):
    """An engine that takes requests. Implemented by `supervise.supervisor.Supervisor`; tests script their own."""

    @property
    def state(self) -> EngineState: ...

    @property
    def ready(self) -> Ready | None:
        """What the newest engine that served said of itself; None before the first."""
        ...

    @property
    def stats(self) -> EngineStats | None:
        """The newest step's gauges and counters; None before the engine's first step."""
        ...

    @property
    def retry_after(self) -> int:
        """Seconds after which a client that is turned away now should come back; at least 1."""
        ...

    def status(self) -> Status: ...

    def admit(self, sequences: int) -> None:
        """Ask for room for so many sequences of one request. Raises: NeverAdmitted, Overloaded, EngineUnavailable."""
        ...

    def submit(self, request: Request) -> Entry:
        """Put the request into the journal, then hand it to the engine, or keep it for the one that is starting.

        Raises: Overloaded, EngineUnavailable, and CrashesEngine for a request that has killed engines before.
        """
        ...

    def release(self, request_id: str) -> None:
        """The client has everything, or has gone: drop the entry, and stop the engine's work on it if any is left."""
        ...
