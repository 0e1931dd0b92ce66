"""SIGINT and SIGTERM as events: the first asks to drain, the second to hurry."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable
from typing import TypeVar

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class StopSignals:
    """Belongs to the running event loop, whose handlers it takes over."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        if self.stop.is_set():
            log.warning("%s again: not waiting for the requests in flight", number.name)
            self.hurry.set()
        else:
            log.info("%s: draining, then stopping; once more to stop at once", number.name)
            self.stop.set()


async def unless(event: asyncio.Event, work: Awaitable[Result]) -> Result | None:
    """The result of `work`, or None (and `work` cancelled) if `event` is set first."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        waiting.cancel()
        task.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
