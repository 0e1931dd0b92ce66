"""The journal: every request in flight, so that no engine's death can lose one.

An entry is written before the engine hears of the request and dropped once the client has everything. Tokens are
appended here *before* any client sees them. Entries live in the event loop's thread; nothing here locks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from upright.messages import FinishReason, Request, RequestFault, SequenceOutput, TokenLogprobs


class RequestLost(Exception):
    """The request will not be finished."""


class EngineGone(RequestLost):
    """No engine will finish this request. Clients are told 503 and when to come back."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class DeadlinePassed(RequestLost):
    """The request took longer than it may. Clients are told 504."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the request was not finished within {seconds:g} s (--request-timeout)")


class CrashesEngine(RequestLost):
    """Every engine that met the request died of it. Clients are told 500, once, and not to send it again."""

    def __init__(self, incident: str) -> None:
        super().__init__(
            f"this request crashes the engine: it was found to be the cause of incident {incident}. Every other "
            f"request goes on; do not send this one again, and tell the operator, who sees why with `upright incidents "
            f"{incident}`"
        )
        self.incident = incident


@dataclass(eq=False)
class Entry:
    """One request and all that is known of its answer so far.

    Readers follow `output` with a cursor of their own: `await entry.wait_past(n)`, then take `output[n:]`. What
    arrives between two reads comes out together, so a slow reader costs nothing. A reader that wants only the
    whole answer awaits `finished()` and costs nothing per token.
    """

    request: Request
    output: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    finish: FinishReason | None = None
    fault: RequestFault | None = None
    lost: RequestLost | None = None
    cached_tokens: int = 0
    handed_over: int = 0  # times that it was handed to an engine
    deaths: int = 0  # engines that died with this request on board
    deadline: float | None = None  # seconds, monotonic
    arrived: float = field(default_factory=time.monotonic)  # seconds, monotonic
    first_token: float | None = None
    last_token: float | None = None
    _waiter: asyncio.Future[None] | None = None
    _wake_at: int = 0  # wake the reader once `output` is longer than this

    @property
    def done(self) -> bool:
        return self.finish is not None or self.lost is not None

    def append(self, update: SequenceOutput, now: float) -> None:
        """Take what one step added; wake the reader if it waits for it."""
        if (
            update.cached_tokens is not None and not self.output
        ):  # what a replay finds in the cache is nobody's business
            self.cached_tokens = update.cached_tokens
        if update.tokens:
            if self.first_token is None:
                self.first_token = now
            self.last_token = now
            self.output.extend(update.tokens)
            self.logprobs.extend(update.logprobs)
        self.finish = update.finish
        self.fault = update.fault
        self._wake()

    def lose(self, reason: RequestLost) -> None:
        """The request will not be finished; readers get `reason` raised."""
        self.lost = reason
        self._wake()

    async def wait_past(self, count: int) -> None:
        """Return once more than `count` tokens are there or the request has finished. Raises: RequestLost."""
        while len(self.output) <= count and not self.done:
            self._wake_at = count
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.lost is not None:
            raise self.lost

    async def finished(self) -> None:
        """Return once the request has finished. Raises: RequestLost."""
        await self.wait_past(2**62)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self.done or len(self.output) > self._wake_at):
            self._waiter.set_result(None)


class Journal:
    """All entries in flight, by request id, in order of arrival."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def open(self, request: Request, now: float | None = None, deadline: float | None = None) -> Entry:
        """`now` and `deadline` are seconds on the monotonic clock."""
        if request.id in self._entries:
            raise ValueError(f"request id {request.id} is already in the journal")
        arrived = time.monotonic() if now is None else now
        entry = Entry(request, output=list(request.output), deadline=deadline, arrived=arrived)
        self._entries[request.id] = entry
        return entry

    def get(self, request_id: str) -> Entry | None:
        return self._entries.get(request_id)

    def close(self, request_id: str) -> Entry | None:
        """Drop the entry; returns it, or None where it was gone already."""
        return self._entries.pop(request_id, None)
