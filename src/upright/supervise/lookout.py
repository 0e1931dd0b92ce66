"""Looks at a living engine and ends it when it hangs, with its stacks taken for the report."""

from __future__ import annotations

import logging
import time

from upright.supervise.engine_process import EngineProcess
from upright.supervise.watch import LOADING_SECONDS, Hang, Sight, Watch

log = logging.getLogger(__name__)


class Lookout:
    """For one engine. `patience`: seconds, the least deadline."""

    def __init__(self, process: EngineProcess, patience: float) -> None:
        self._process = process
        self._watch = Watch(patience)

    async def look(self, aboard: int, factor: float) -> None:
        """Look once. `aboard`: requests that should be with the engine; `factor` lengthens every deadline."""
        process = self._process
        if process.hang is not None or process.ended.done():
            return
        now, stopped, reading = time.monotonic(), process.is_stopped(), process.read_black_box()
        hang = self._watch.look(Sight(now, reading, stopped, aboard, process.last_message), factor)
        if hang is None and reading is None and now - (process.loading_since or now) > LOADING_SECONDS:
            hang = Hang("hang", f"its imports did not end within {LOADING_SECONDS:.0f} s", LOADING_SECONDS)
        if hang is None:
            return
        log.error("the engine hangs: %s; ending it", hang.how)
        process.hang = hang
        if not stopped:
            await process.dump_stacks()
        process.kill()
