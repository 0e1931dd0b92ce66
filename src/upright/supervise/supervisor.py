"""Keeps one engine alive. It carries out what `policy` and `keeper` say: processes, sockets and clocks are here."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zmq

from upright.logs import few
from upright.messages import (
    Abort,
    Crashed,
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
from upright.supervise import policy
from upright.supervise.diagnosis import Diagnosis, Remains, count_oom_kills
from upright.supervise.engine_process import EngineProcess
from upright.supervise.incidents.inquest import Inquest
from upright.supervise.incidents.reporter import Reporter
from upright.supervise.inquiry import Accused
from upright.supervise.journal import EngineGone, Entry
from upright.supervise.keeper import EngineEnd, Keeper, LostContact
from upright.supervise.learned import Lessons, first_state
from upright.supervise.lookout import Lookout
from upright.supervise.pacer import Pacer
from upright.supervise.policy import Decision, FailedStart
from upright.supervise.recovery import Recoveries
from upright.supervise.rungs import Rung, traits
from upright.supervise.service import (
    EngineState,
    EngineStatus,
    EngineUnavailable,
    LastDeath,
    NeverAdmitted,
    Overloaded,
    Status,
)
from upright.supervise.standby import Standby
from upright.supervise.watch import Hang

log = logging.getLogger(__name__)

FIRST_LOAD_GUESS = 10.0  # seconds, until a load has been measured
STOP_GRACE = 5.0  # seconds that an engine gets to leave by itself
LOOK_SECONDS = 0.2  # between two looks at the engine
FAILED_RETRY_AFTER = 60  # seconds; somebody has to do something first


@dataclass(frozen=True)
class Care:
    """How engines are looked after."""

    max_queue: int  # sequences that may wait
    log_level: str = "info"
    patience: float = 10.0  # seconds; the least deadline of a step
    standby: bool = True  # keep a process in reserve
    request_timeout: float | None = None  # seconds that a request may take in all
    incidents: Path | None = None  # directory of reports; None: none are kept
    record_content: bool = False  # put prompts and outputs into them


class Supervisor:
    """An EngineService: starts engines, keeps requests through their deaths, and gives up when there is no use."""

    def __init__(
        self,
        rungs: tuple[Rung, ...],
        care: Care,
        lessons: Lessons | None = None,
        on_loading: Callable[[Loading], None] = lambda loading: None,
    ) -> None:
        self._rungs = rungs
        self._care = care
        self._lessons = lessons
        self._on_loading = on_loading
        self._keeper = Keeper(first_state(traits(rungs), lessons, time.monotonic()), self._send, Pacer().rouse)
        self._keeper.on_convicted = self._convicted
        self._context = zmq.Context()
        options = rungs[0].options
        self._standby = Standby(self._context, options.threads, care.log_level, care.standby)
        self._reporter = Reporter(care.incidents)
        self._recoveries = Recoveries()
        self._engine: EngineProcess | None = None
        self._life: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # the first engine serves, or there will be none
        self._drained = asyncio.Event()
        self._stop = asyncio.Event()
        self._draining = False
        self._planned = False  # the present engine ends because a higher rung is tried
        self._rung_left = ""  # why; remembered once an engine serves on the next one: until then it has proven nothing
        self._failure = ""
        self._ready: Ready | None = None
        self._stats: EngineStats | None = None
        self._crashed: Crashed | None = None
        self._refused: StartFailed | None = None
        self._lookout: Lookout | None = None
        self._expected_at = time.monotonic() + FIRST_LOAD_GUESS  # when the next engine should serve
        self._load_seconds = FIRST_LOAD_GUESS
        self._deaths = 0
        self._last_death: LastDeath | None = None

    # ---- what the service protocol asks ------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        if self._failure:
            return "failed"
        if self._draining:
            return "draining"
        if self._keeper.serving:
            return "ready"
        return "starting" if self._ready is None else "recovering"

    @property
    def ready(self) -> Ready | None:
        return self._ready

    @property
    def stats(self) -> EngineStats | None:
        return self._stats

    @property
    def retry_after(self) -> int:
        if self.state == "failed":
            return FAILED_RETRY_AFTER
        return max(1, math.ceil(self._expected_at - time.monotonic())) if not self._keeper.serving else 1

    @property
    def failure(self) -> str:
        """Why no engine will be started any more; empty unless the state is "failed"."""
        return self._failure

    @property
    def engine_pid(self) -> int | None:
        return self._engine.pid if self._engine is not None else None

    def status(self) -> Status:
        state, keeper = self.state, self._keeper
        engine, reserve = self._engine, self._standby.process
        return Status(
            state=state,
            reason="" if state == "ready" else self._why_unavailable(),
            retry_after=None if state == "ready" else self.retry_after,
            rung=keeper.state.rung,
            rung_name=self._rungs[keeper.state.rung].name,
            rungs=tuple(rung.name for rung in self._rungs),
            engines=(_described(engine, "ready" if keeper.serving else "loading"),) if engine is not None else (),
            standby=_described(reserve, "waiting") if reserve is not None else None,
            in_flight=keeper.unfinished,
            on_trial=len(keeper.state.inquiry.tried),
            deaths=self._deaths,
            recoveries=self._recoveries.count,
            recovery_seconds=self._recoveries.seconds,
            replays=keeper.replays,
            recovered_tokens=keeper.recovered_tokens,
            last_death=self._last_death,
        )

    def admit(self, sequences: int) -> None:
        running, waiting = self._rungs[0].options.max_num_seqs, self._care.max_queue
        if sequences > running + waiting:  # it would be told to come back for ever
            raise NeverAdmitted(sequences, running, waiting)
        if self.state not in ("ready", "recovering"):
            raise EngineUnavailable(self._why_unavailable(), self.retry_after)
        in_flight = len(self._keeper.journal)
        if in_flight + sequences > running + waiting:
            raise Overloaded(max(0, in_flight - running), waiting, self.retry_after)

    def submit(self, request: Request) -> Entry:
        self.admit(1)
        return self._keeper.submit(request, time.monotonic(), self._care.request_timeout)

    def release(self, request_id: str) -> None:
        self._keeper.release(request_id)
        self._note_progress()
        if not len(self._keeper.journal):
            self._drained.set()

    # ---- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the first engine in the background. Await `settled` to know what became of it."""
        self._life = asyncio.create_task(self._keep_alive(), name="engine-life")
        self._ticking = asyncio.create_task(self._tick(), name="engine-watch")

    async def settled(self) -> None:
        """Return once the first engine serves (`ready`) or none ever will (`failed`)."""
        await self._settled.wait()

    async def drain(self, patience: float) -> int:
        """Take nothing new, wait up to `patience` seconds for what is in flight; returns how many are left.

        Engines that die meanwhile are replaced: what is in flight is finished all the same.
        """
        self._draining = True
        self._drained.clear()
        if len(self._keeper.journal):
            try:
                await asyncio.wait_for(self._drained.wait(), patience)
            except TimeoutError:
                left = [entry.request.id for entry in self._keeper.journal]
                log.warning("%d requests did not finish within %.0f s of draining: %s", len(left), patience, few(left))
        return len(self._keeper.journal)

    def give_up_requests(self) -> None:
        """Tell every reader that still waits that the server stops: EngineGone."""
        self._keeper.lose_all(EngineGone("the server is shutting down", self.retry_after))

    async def stop(self) -> None:
        """End the engine and leave nothing behind."""
        self._draining = True
        self._stop.set()
        self.give_up_requests()
        engine = self._engine
        if engine is not None:
            engine.send(Stop())
            await asyncio.wait({engine.ended}, timeout=STOP_GRACE if self._keeper.serving else 0)
            engine.kill()
        for task in (self._life, self._ticking):
            if task is not None:
                done, _ = await asyncio.wait({task}, timeout=STOP_GRACE)
                if not done:
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._standby.stop()
        await self._reporter.finish()
        self._context.destroy(linger=0)

    async def _keep_alive(self) -> None:
        """Run engines one after the other until told to stop, or until the policy gives up."""
        delay: float | None = 0.0
        try:
            while delay is not None:
                self._expected_at = time.monotonic() + delay + self._load_seconds
                await self._pause(delay)
                if self._stop.is_set():
                    return
                delay = await self._run_engine()
        except Exception as error:
            log.exception("the supervisor has met a bug of its own")
            if self._engine is not None:
                self._engine.kill()
            self._give_up(f"the supervisor has met a bug of its own: {error}")
        await self._standby.stop()  # nothing will need it any more

    async def _run_engine(self) -> float | None:
        """One engine from its start to its end. Returns the seconds until the next one, or None for no more."""
        self._crashed = self._refused = None
        self._planned = False
        rung = self._keeper.state.rung
        oom_kills = count_oom_kills()
        try:
            process = await self._standby.take()
        except OSError as error:  # out of processes, memory or files: that may pass
            decision = self._after_failed_start(Diagnosis("crash", f"it could not be started: {error}"))
            log.error("no engine could be started: %s. %s", "; ".join(decision.why), _next_step(decision))
            return self._go_on(decision)
        process.on_message = self._handle
        self._engine = process
        self._lookout = Lookout(process, self._care.patience)
        process.load(self._rungs[rung].options)
        code = await process.ended
        self._engine = self._lookout = self._stats = None
        try:
            if self._stop.is_set() or self._planned:
                self._keeper.engine_replaced()
                return 0.0
            oom_kills = _difference(oom_kills, count_oom_kills())
            remains = Remains(code, process.hang, self._crashed, self._refused, oom_kills)
            return self._after_end(Inquest.into(process, remains, self._keeper), rung)
        finally:
            process.bury()

    def _after_end(self, inquest: Inquest, rung: int) -> float | None:
        """An engine has ended unasked: decide, tell. Returns as `_run_engine`."""
        keeper, diagnosis, incident = self._keeper, inquest.diagnosis, inquest.incident
        if inquest.served:
            self._recoveries.died(inquest.last_sign, inquest.now, incident, keeper.replays, keeper.recovered_tokens)
            decision = keeper.engine_ended(EngineEnd(inquest.now, diagnosis.cause, inquest.struck, incident))
        else:
            decision = self._after_failed_start(diagnosis)
            if decision.misconfigured and not self._deaths:
                return self._go_on(decision)  # whoever set it is told all there is to know: a report would add nothing
        self._deaths += 1
        self._last_death = LastDeath(inquest.when.isoformat(timespec="milliseconds"), incident)
        kept, why = keeper.unfinished, [*decision.why, _next_step(decision)]
        log.error(
            "the engine has ended%s (%s), incident %s: %s. Requests lost: %d, kept: %d. %s",
            "" if inquest.served else " before it served", diagnosis.how, incident, "; ".join(decision.why),
            len(inquest.entries) - kept, kept, why[-1],
        )  # fmt: skip
        suspected = frozenset(keeper.state.chains)
        self._reporter.file(inquest.findings(rung, self._rungs[rung], suspected, why, self._care.record_content))
        if keeper.state.rung != rung:
            self._rung_left = "; ".join(decision.why)
        return self._go_on(decision)

    def _after_failed_start(self, diagnosis: Diagnosis) -> Decision:
        refused = None
        if self._refused is not None:
            refused = self._refused.message + (f"; {self._refused.advice}" if self._refused.advice else "")
        failed = FailedStart(time.monotonic(), diagnosis.cause, diagnosis.how, refused)
        self._keeper.state, decision = policy.after_failed_start(self._keeper.state, failed)
        return decision

    def _go_on(self, decision: Decision) -> float | None:
        if decision.delay is None:
            self._give_up(decision.why[-1])
        return decision.delay

    def _give_up(self, reason: str) -> None:
        """No more engines: tell everybody who waits. The front stays up to tell those who come."""
        self._failure = reason
        log.error("no engine will be started any more: %s", reason)
        self._keeper.lose_all(EngineGone(f"the engine cannot be started: {reason}", self.retry_after))
        self._settled.set()

    # ---- the engine speaks -------------------------------------------------------------------------------------------

    def _handle(self, message: FromEngine) -> None:
        match message:
            case StepDone(outputs=outputs, stats=stats, plain=plain):
                self._stats = stats
                try:
                    self._keeper.take(outputs, time.monotonic(), plain)
                except LostContact as error:
                    assert self._engine is not None
                    self._engine.condemn(Hang("crash", str(error), 0.0))
                self._note_progress()
            case Ready():
                self._engine_serves(message)
            case Loading():
                if self._engine is not None and self._engine.imported:
                    self._recoveries.loading(time.monotonic())
                self._on_loading(message)
            case StartFailed():
                self._refused = message
            case Crashed():
                self._crashed = message

    def _engine_serves(self, ready: Ready) -> None:
        assert self._engine is not None
        now = time.monotonic()
        self._ready = ready
        self._load_seconds = now - (self._engine.loading_since or now)
        if self._deaths:
            log.info("an engine serves again, %.2f s after it was told to load", self._load_seconds)
        self._keeper.engine_serves(now)
        self._learn()
        self._recoveries.serves(now)
        self._note_progress()
        self._settled.set()
        self._standby.prepare()

    def _note_progress(self) -> None:
        """If the last request of a recovery has gone on, the recovery is over."""
        if self._recoveries.open and not self._keeper.awaited and self._keeper.serving:
            incident, recovery = self._recoveries.finish(
                time.monotonic(), self._keeper.replays, self._keeper.recovered_tokens
            )
            log.info(
                "recovered: noticed after at most %.3f s, taken over in %.3f s, loaded in %.3f s, replayed in %.3f s",
                recovery.notice, recovery.take_over, recovery.load, recovery.replay,
            )  # fmt: skip
            self._reporter.add_recovery(incident, recovery)

    def _send(self, message: Submit | Abort) -> None:
        if self._engine is not None:
            self._engine.send(message)

    # ---- the clock ---------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Deadlines of requests, hangs of the engine, and the time for a higher rung."""
        while not self._stop.is_set():
            await self._pause(LOOK_SECONDS)
            try:
                await self._look_around(time.monotonic())
            except Exception:
                log.exception("the supervisor has met a bug of its own, and goes on looking")

    async def _look_around(self, now: float) -> None:
        if late := self._keeper.expire(now):
            log.warning("%d requests were not finished within their time: %s", len(late), few(late))
            self._note_progress()
        if self._lookout is not None:
            await self._lookout.look(len(self._keeper.aboard), self._keeper.state.patience)
        self._try_higher_rung(now)

    def _try_higher_rung(self, now: float) -> None:
        if self._engine is None or not self._keeper.serving or self._draining:
            return
        state = policy.climb(self._keeper.state, now, idle=not len(self._keeper.journal))
        if state is self._keeper.state:
            return
        self._keeper.state = state
        name = self._rungs[state.rung].name
        log.info("rung %d, %r, is tried again after a time without a death", state.rung, name)
        self._rung_left = "it has proven itself on the rung below"
        self._planned = True
        self._engine.kill()

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless everything stops."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._stop.wait(), seconds)
            except TimeoutError:
                return

    def _convicted(self, accused: Accused) -> None:
        found = f"request {accused.suspect.id} was found to be the cause, and has failed"
        log.error("%s: incident %s", found, accused.incident)
        self._reporter.amend(accused.incident, found)

    def _learn(self) -> None:
        """An engine serves: if the rung has changed since the last one did, the next server begins there."""
        if self._lessons is not None and self._rung_left:
            state = self._keeper.state
            self._lessons.learn(self._rungs[state.rung].name, state.relapses, self._rung_left)
        self._rung_left = ""

    def _why_unavailable(self) -> str:
        return {
            "starting": "the model is still loading",
            "recovering": "the engine has ended and another is starting",
            "draining": "the server is shutting down",
            "failed": f"no engine can be started: {self._failure}",
            "ready": "ready",
        }[self.state]


def _described(process: EngineProcess, state: str) -> EngineStatus:
    return EngineStatus(0, process.pid, state if process.imported else "importing")


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _next_step(decision: Decision) -> str:
    if decision.delay is None:
        return "No more engines are started."
    return f"Another starts in {decision.delay:.1f} s." if decision.delay else "Another starts now."
