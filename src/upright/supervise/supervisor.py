"""Keeps one engine alive and everything in flight accounted for. The only code that talks to an engine."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

import zmq.asyncio

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
from upright.supervise.engine_process import EngineProcess
from upright.supervise.journal import EngineGone, Entry, Journal
from upright.supervise.policy import Death, GiveUp, History, after_death
from upright.supervise.service import EngineState, EngineUnavailable, Overloaded

log = logging.getLogger(__name__)

FIRST_LOAD_GUESS = 10.0  # seconds, until a load has been measured
STOP_GRACE = 5.0  # seconds that an engine gets to leave by itself


class Supervisor:
    """An EngineService: starts the engine, journals requests, notices deaths, starts the next engine."""

    def __init__(
        self,
        options: EngineOptions,
        max_queue: int,
        log_level: str = "info",
        on_loading: Callable[[Loading], None] = lambda loading: None,
    ) -> None:
        self._options = options
        self._max_queue = max_queue
        self._log_level = log_level
        self._on_loading = on_loading
        self._journal = Journal()
        self._context = zmq.asyncio.Context()
        self._engine: EngineProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # the first engine serves, or there will be none
        self._drained = asyncio.Event()
        self._state: EngineState = "starting"
        self._ready: Ready | None = None
        self._stats: EngineStats | None = None
        self._refused: StartFailed | None = None
        self._failure = ""
        self._launched_at = 0.0
        self._load_seconds = FIRST_LOAD_GUESS
        self.deaths = 0  # engines that ended unasked, since the start

    # ---- what the service protocol asks ------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def ready(self) -> Ready | None:
        return self._ready

    @property
    def stats(self) -> EngineStats | None:
        return self._stats

    @property
    def retry_after(self) -> int:
        """The rest of the load where an engine is starting; a short while otherwise."""
        if self._state in ("starting", "recovering"):
            return max(1, math.ceil(self._load_seconds - (time.monotonic() - self._launched_at)))
        return max(1, math.ceil(self._load_seconds)) if self._state == "failed" else 1

    @property
    def failure(self) -> str:
        """Why no engine will be started any more; empty unless the state is "failed"."""
        return self._failure

    @property
    def engine_pid(self) -> int | None:
        return self._engine.pid if self._engine is not None else None

    def admit(self, sequences: int) -> None:
        if self._state != "ready":
            raise EngineUnavailable(self._why_unavailable(), self.retry_after)
        waiting = len(self._journal) + sequences - self._options.max_num_seqs
        if waiting > self._max_queue:
            raise Overloaded(max(0, len(self._journal) - self._options.max_num_seqs), self._max_queue, self.retry_after)

    def submit(self, request: Request) -> Entry:
        self.admit(1)
        entry = self._journal.open(request)
        assert self._engine is not None  # a ready state has an engine
        self._engine.send(Submit(request))
        return entry

    def release(self, request_id: str) -> None:
        entry = self._journal.close(request_id)
        if entry is not None and not entry.done and self._engine is not None:
            self._engine.send(Abort([request_id]))
        if not len(self._journal):
            self._drained.set()

    # ---- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the first engine in the background. Await `settled` to know what became of it."""
        self._watch = asyncio.create_task(self._keep_alive(), name="engine-watch")

    async def settled(self) -> None:
        """Return once the first engine serves (`ready`) or none ever will (`failed`)."""
        await self._settled.wait()

    async def drain(self, patience: float) -> int:
        """Take nothing new, wait up to `patience` seconds for what is in flight; returns how many are left."""
        if self._state != "failed":
            self._state = "draining"
        self._drained.clear()
        if len(self._journal):
            try:
                await asyncio.wait_for(self._drained.wait(), patience)
            except TimeoutError:
                log.warning("%d requests did not finish within %.0f s of draining", len(self._journal), patience)
        return len(self._journal)

    def give_up_requests(self) -> None:
        """Tell every reader that still waits that the server stops: EngineGone."""
        self._lose_all("the server is shutting down")

    async def stop(self) -> None:
        """End the engine and leave nothing behind."""
        self._state = "draining"
        self.give_up_requests()
        if self._watch is not None and self._engine is not None:
            self._engine.send(Stop())
            done, _ = await asyncio.wait({self._watch}, timeout=STOP_GRACE if self._ready is not None else 0)
            if not done:
                self._engine.kill()
                await asyncio.wait({self._watch}, timeout=STOP_GRACE)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._context.destroy(linger=0)

    async def _keep_alive(self) -> None:
        """Run engines one after the other until told to stop, or until the policy gives up."""
        history = History()
        while self._state not in ("draining", "failed"):
            self._refused = None
            self._launched_at = time.monotonic()
            exit_description = await self._run_engine()
            served = self._ready is not None
            self._engine = self._ready = self._stats = None
            if self._state == "draining":
                self._lose_all(f"the server is shutting down, and its engine has ended ({exit_description})")
                return
            history = await self._after_end(history, served, exit_description)

    async def _run_engine(self) -> str:
        """Start an engine and listen to it until it ends. Returns how it ended."""
        try:
            self._engine = await EngineProcess.start(self._options, self._context, self._log_level)
        except OSError as error:  # out of processes, memory or files: that may pass
            return f"it could not be started: {error}"
        return await self._engine.listen(self._handle)

    async def _after_end(self, history: History, served: bool, exit_description: str) -> History:
        self.deaths += 1
        refused = None
        if self._refused is not None:
            refused = self._refused.message + (f"; {self._refused.advice}" if self._refused.advice else "")
        history, action = after_death(history, Death(served, exit_description, refused))
        if isinstance(action, GiveUp):
            self._state, self._failure = "failed", action.reason
            log.error("no engine will be started any more: %s", action.reason)
            self._lose_all(f"the engine cannot be started: {action.reason}")
            self._settled.set()
            return history
        if served:
            self._state = "recovering"
        lost = sum(not entry.done for entry in self._journal)
        when = f"in {action.delay:.1f} s" if action.delay else "now"
        log.error("the engine has ended (%s), requests lost: %d; starting another %s", exit_description, lost, when)
        self._launched_at = time.monotonic() + action.delay
        self._lose_all(f"the engine has ended ({exit_description}); another is starting")
        await asyncio.sleep(action.delay)
        return history

    def _lose_all(self, message: str) -> None:
        for entry in self._journal:
            if not entry.done:
                entry.deaths += 1
                entry.lose(EngineGone(message, self.retry_after))

    def _handle(self, message: FromEngine) -> None:
        match message:
            case StepDone(outputs=outputs, stats=stats):
                self._stats = stats
                now = time.monotonic()
                for update in outputs:
                    entry = self._journal.get(update.id)
                    if entry is not None and not entry.done:
                        entry.append(update, now)
            case Ready():
                self._ready = message
                self._load_seconds = time.monotonic() - self._launched_at
                if self.deaths:
                    log.info("an engine serves again, %.1f s after its start", self._load_seconds)
                if self._state in ("starting", "recovering"):
                    self._state = "ready"
                self._settled.set()
            case Loading():
                self._on_loading(message)
            case StartFailed():
                self._refused = message

    def _why_unavailable(self) -> str:
        return {
            "starting": "the model is still loading",
            "recovering": "the engine has ended and another is starting",
            "draining": "the server is shutting down",
            "failed": f"no engine can be started: {self._failure}",
            "ready": "ready",
        }[self._state]
