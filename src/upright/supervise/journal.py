"""The journal: every request in flight, so that no engine's death can lose one.

An entry is written before the engine hears of the request and dropped once the client has everything. Tokens are
appended here *before* any client sees them. Entries live in the event loop's thread; nothing here locks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from upright.messages import FinishReason, Request, RequestFault, SequenceOutput, TokenLogprobs

NEVER = 2**62  # tokens; no output is as long


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


@dataclass(eq=False, slots=True)
class Entry:
    """One request and all that is known of its answer so far.

    Readers follow `output` with a cursor of their own: `await entry.wait_past(n)`, then take `output[n:]`. What
    arrives between two reads comes out together, so a slow reader costs nothing. A reader that wants only the
    whole answer awaits `finished()` and costs nothing per token.

    A first token and an end wake the reader at once. For what is between them `rouse` may choose a better moment.
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
    rouse: Rouse | None = None  # wakes readers; None: at once
    wake_at: int = NEVER  # a reader waits for `output` to be longer than this, and nobody has been told to wake it
    _waiter: asyncio.Future[None] | None = None

    @property
    def done(self) -> bool:
        return self.finish is not None or self.lost is not None

    def append(self, update: SequenceOutput, now: float) -> None:
        """Take what one step added; wake the reader if it waits for it."""
        if update.cached_tokens is not None and not self.output:  # what a replay finds there is nobody's business
            self.cached_tokens = update.cached_tokens
        first = self.first_token is None
        if update.tokens:
            if self.first_token is None:
                self.first_token = now
            self.last_token = now
            self.output.extend(update.tokens)
            self.logprobs.extend(update.logprobs)
        self.finish = update.finish
        self.fault = update.fault
        if update.finish is not None:
            self.wake()
        elif len(self.output) > self.wake_at:
            if first or self.rouse is None:
                self.wake()
            else:
                self.wake_at = NEVER
                self.rouse((self,))

    def lose(self, reason: RequestLost) -> None:
        """The request will not be finished; readers get `reason` raised."""
        self.lost = reason
        self.wake()

    async def wait_past(self, count: int) -> None:
        """Return once more than `count` tokens are there or the request has finished. Raises: RequestLost."""
        while len(self.output) <= count and self.finish is None and self.lost is None:
            self.wake_at = count
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
                self.wake_at = NEVER
        if self.lost is not None:
            raise self.lost

    async def finished(self) -> None:
        """Return once the request has finished. Raises: RequestLost."""
        await self.wait_past(NEVER)

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


Rouse = Callable[[Sequence[Entry]], None]  # is given entries whose readers wait for what is there, each once


class Journal:
    """All entries in flight, by request id, in order of arrival. `rouse` is every entry's."""

    def __init__(self, rouse: Rouse | None = None) -> None:
        self._entries: dict[str, Entry] = {}
        self._rouse = rouse

    def rouse(self, entries: Sequence[Entry]) -> None:
        """Have the readers of these woken, who wait for what is there."""
        if self._rouse is not None:
            self._rouse(entries)
        else:
            for entry in entries:
                entry.wake()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def open(self, request: Request, now: float | None = None, deadline: float | None = None) -> Entry:
        """`now` and `deadline` are seconds on the monotonic clock."""
        if request.id in self._entries:
            raise ValueError(f"request id {request.id} is already in the journal")
        arrived = time.monotonic() if now is None else now
        entry = Entry(request, list(request.output), deadline=deadline, arrived=arrived, rouse=self._rouse)
        self._entries[request.id] = entry
        return entry

    def get(self, request_id: str) -> Entry | None:
        return self._entries.get(request_id)

    def close(self, request_id: str) -> Entry | None:
        """Drop the entry; returns it, or None where it was gone already."""
        return self._entries.pop(request_id, None)
