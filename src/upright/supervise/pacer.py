"""Wakes the readers of answers: at once while the front keeps up, else together and so seldom that it keeps up.

To wake a reader costs about the same however many tokens it finds, for the front and for the client at the other end,
and a fast engine has a token for each of hundreds of readers every few milliseconds. So after each round of waking the
pacer measures how long the event loop was busy with it, and lets as much time pass before the next: streams then get
several tokens at a time, and half of the front is left for new requests. Where that is not long, rounds are still so
far apart that one client could follow all the streams. With few readers nothing is measured and nothing waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from upright.supervise.journal import Entry

FEW = 8  # readers; to wake so many is never worth a wait
REST = 1.0  # times what a round has cost
CLIENT_SECONDS = 40e-6  # for each reader of a round: what a client or a proxy takes for one event
LONGEST_REST = 0.05  # seconds; a loop that was busy with something else makes nobody wait for longer


class Pacer:
    """Belongs to one event loop. `rouse` is what a journal's entries call."""

    def __init__(self) -> None:
        self._due: list[Entry] = []
        self._pacing = False  # a round is being measured, or the rest after it is not over
        self._began = 0.0
        self._woken = 0  # readers

    def rouse(self, entries: Sequence[Entry]) -> None:
        """Wake the readers of `entries`, now or a little later. An end that comes meanwhile does not wait for it."""
        if self._pacing:
            self._due += entries
        else:
            self._wake(entries)

    def _wake(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            entry.wake()
        if len(entries) > FEW:
            self._pacing = True
            self._began, self._woken = time.perf_counter(), len(entries)
            # The readers run in the loop's next round, and what they write is sent at its end.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._rest)

    def _rest(self) -> None:
        cost = time.perf_counter() - self._began
        rest = max(REST * cost, CLIENT_SECONDS * self._woken - cost)
        asyncio.get_running_loop().call_later(min(rest, LONGEST_REST), self._resume)

    def _resume(self) -> None:
        self._pacing = False
        due, self._due = self._due, []
        self._wake(due)
