"""`upright serve` with a service that heals nothing, for healing_cost.py. Takes the same command line.

Same application, loop, HTTP server and socket to the engine; in the place of the supervisor one engine process, started
once, whose messages go straight to the readers. No journal but an entry for each request, which is what readers follow;
no policy, no watch, no process in reserve, no reports. When the engine dies, the server is of no more use.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from upright.cli import main, serve
from upright.messages import (
    Abort,
    EngineOptions,
    EngineStats,
    FromEngine,
    Loading,
    Ready,
    Request,
    StartFailed,
    StepDone,
    Stop,
    Submit,
)
from upright.supervise import engine_process
from upright.supervise.engine_process import EngineProcess
from upright.supervise.journal import Entry
from upright.supervise.service import EngineState, EngineStatus, Status

STOP_GRACE = 5.0  # seconds that the engine gets to leave by itself


class BareService:
    """An EngineService, with the supervisor's methods that `upright serve` calls."""

    def __init__(self, options: EngineOptions, log_level: str, on_loading: Callable[[Loading], None]) -> None:
        self.ready: Ready | None = None
        self.stats: EngineStats | None = None
        self.retry_after = 1
        self.failure = ""
        self._options = options
        self._log_level = log_level
        self._on_loading = on_loading
        self._context = zmq.Context()
        self._engine: EngineProcess | None = None
        self._entries: dict[str, Entry] = {}
        self._settled = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None

    @property
    def state(self) -> EngineState:
        return "ready" if self.ready is not None else "starting"

    def status(self) -> Status:
        return Status(
            state=self.state, retry_after=None if self.ready else 1, rung=0, rung_name="", rungs=(),
            engines=(EngineStatus(0, self._engine.pid, self.state),) if self._engine else (), standby=None,
            in_flight=len(self._entries), on_trial=0, deaths=0, recoveries=0, recovery_seconds=0.0, replays=0,
            recovered_tokens=0, last_death=None,
        )  # fmt: skip

    def admit(self, sequences: int) -> None:
        pass

    def submit(self, request: Request) -> Entry:
        assert self._engine is not None
        entry = self._entries[request.id] = Entry(request)
        self._engine.send(Submit(request))
        return entry

    def release(self, request_id: str) -> None:
        entry = self._entries.pop(request_id, None)
        if entry is not None and not entry.done and self._engine is not None:
            self._engine.send(Abort([request_id]))

    # ---- what `upright serve` calls ----------------------------------------------------------------------------------

    def start(self) -> None:
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        self._engine = await EngineProcess.start(self._context, self._options.threads, self._log_level)
        self._engine.on_message = self._handle
        self._engine.load(self._options)

    def _handle(self, message: FromEngine) -> None:
        loop = asyncio.get_running_loop()
        match message:
            case StepDone(outputs=outputs, stats=stats, plain=plain):
                self.stats = stats
                now = loop.time()
                for update in outputs + plain.outputs() if plain else outputs:
                    if update.id in self._entries:
                        self._entries[update.id].append(update, now)
            case Ready():
                self.ready = message
                self._settled.set()
            case StartFailed():
                self.failure = message.message
                self._settled.set()
            case Loading():
                self._on_loading(message)

    async def settled(self) -> None:
        await self._settled.wait()

    async def drain(self, patience: float) -> int:
        return 0

    def give_up_requests(self) -> None:
        pass

    async def stop(self) -> None:
        if self._engine is not None:
            self._engine.send(Stop())
            await asyncio.wait({self._engine.ended}, timeout=STOP_GRACE)
            self._engine.kill()
            await self._engine.ended
            self._engine.bury()
        self._context.destroy(linger=0)


def bare_service(config: Any, prepared: Any, progress: Callable[[Loading], None]) -> BareService:
    return BareService(prepared.plan.options, config.log_level, progress)


if __name__ == "__main__":
    serve._supervisor = bare_service  # type: ignore[assignment]
    engine_process.COMMAND = (sys.executable, str(Path(__file__).with_name("bare_engine.py")))  # type: ignore[assignment]
    main.run()
