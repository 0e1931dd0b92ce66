"""One process in reserve: it has imported everything, holds no device memory, and takes over when the engine dies."""

from __future__ import annotations

import asyncio
import logging

from upright.supervise.diagnosis import exit_in_words
from upright.supervise.engine_process import Context, EngineProcess

log = logging.getLogger(__name__)

MOST_FAILURES = 3  # standbys in a row that end while they wait, until no more are made
DELAY = 1.0  # seconds after an engine serves: its first steps, the replay, have the machine to themselves


class Standby:
    """Keeps a process waiting. Belongs to the event loop."""

    def __init__(self, context: Context, threads: int, log_level: str, wanted: bool = True) -> None:
        self._context = context
        self._threads = threads
        self._log_level = log_level
        self._wanted = wanted
        self._process: EngineProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0

    @property
    def process(self) -> EngineProcess | None:
        return self._process

    def prepare(self) -> None:
        """Have a process waiting before long, if there is none."""
        if self._wanted and self._task is None and self._failures < MOST_FAILURES:
            self._task = asyncio.create_task(self._keep(), name="standby")

    async def take(self) -> EngineProcess:
        """The process in reserve, or else a new one. Raises: OSError, as `EngineProcess.start`."""
        process, self._process = self._process, None
        await self._rest()
        if process is not None and not process.ended.done():
            self._failures = 0
            return process
        if process is not None:
            process.bury()
        return await EngineProcess.start(self._context, self._threads, self._log_level)

    async def stop(self) -> None:
        """End what is in reserve, and make no other."""
        self._wanted = False
        process, self._process = self._process, None
        await self._rest()
        if process is not None:
            process.kill()
            await process.ended
            process.bury()

    async def _keep(self) -> None:
        """Start a process, and another if it ends while it waits."""
        await asyncio.sleep(DELAY)
        while self._failures < MOST_FAILURES:
            try:
                self._process = await EngineProcess.start(self._context, self._threads, self._log_level)
            except OSError as error:
                self._failures += 1
                log.warning("no process can be kept in reserve: %s", error)
                continue
            if self._failures:
                log.info("another process is made ready, to be in reserve")
            ended = self._process.ended
            await asyncio.wait({ended})
            process, self._process = self._process, None
            process.bury()
            self._failures += 1
            log.warning("the process in reserve has ended (%s); recoveries take longer", exit_in_words(ended.result()))

    async def _rest(self) -> None:
        """Stop keeping; what `_keep` holds is the caller's, or has been noted."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
