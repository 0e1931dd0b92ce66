"""What to do when an engine dies: pure functions of what happened, with no clock, socket or process in them.

Three questions are answered after each death.

*Who did it?* Requests aboard are suspects. After a first death all are replayed. If one dies again with requests aboard
that have not proven themselves since, these are tried apart by halves (`inquiry`), until the culprit died alone and
everybody else lived: it fails, and its content is remembered for a while. One culprit among n, in a configuration that
has served before, costs at most 2 + log2(n) deaths and never fewer than three; k of them at most
2 + k * (log2(n) + 1) if they are aboard together.

*Is it the configuration?* Deaths that no request explains are strikes against the rung, the configuration that runs.
Three strikes soon after each other, two starts that fail, or an inquiry in which nobody lives, and the next engine runs
a safer rung; for starts that lack memory, only one that needs less. After a proven time it climbs back.

*Is there any use in going on?* Deaths of engines that did nothing before are counted in a row; past a limit on the last
rung, no more engines are started. An engine that has done work before it died is no reason to stop.

What was done from outside (SIGKILL where the kernel counted no lack of memory, SIGSTOP, SIGTERM) speaks against no
request and no rung.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from upright.supervise import inquiry as search
from upright.supervise.inquiry import Accused, Inquiry, Suspect

Cause = Literal["outside", "crash", "memory", "hang"]

POISON_SECONDS = 600.0  # that the content of a guilty request is remembered
STRIKES = 3  # within STRIKE_SECONDS, until a rung is left
STRIKE_SECONDS = 600.0
START_TRIES = 2  # failed starts in a row, until a rung is left
LAST_TRIES = 3  # failed starts in a row on the last rung, until no more engines are started
SERVED_TRIES = 8  # the same, once an engine has served: then it can work, and what is in the way may pass
BARREN_DEATHS = 5  # engines in a row on the last rung that die before they have done anything
OUTSIDE_DEATHS = 10  # the same, for deaths from outside, on any rung
STABLE_SECONDS = 60.0  # an engine that has served so long has done something, even where there was nothing to do
KNOWN_GOOD_TOKENS = 500  # from one engine: its configuration works for most requests
LONGEST_DELAY = 30.0  # seconds
PROOF_SECONDS = 1800.0  # without a strike, until a higher rung is tried again; doubled by each relapse
MOST_RELAPSES = 6
PATIENCE = (1.0, 2.0, 4.0)  # factors of a step's deadline, by the number of hangs so far


@dataclass(frozen=True)
class Death:
    """An engine that served has died."""

    now: float  # seconds, monotonic
    cause: Cause
    aboard: tuple[Suspect, ...]  # in the step that died, in order of arrival
    tokens: int  # that this engine produced
    age: float  # seconds that it served
    incident: str  # id of the report
    others: int = 0  # unfinished requests that are no suspects: what an accused one can be compared with
    steps: int = 0  # that were heard of since the last request was handed over
    left: tuple[Suspect, ...] = ()  # were aboard as well, but their clients have gone meanwhile


@dataclass(frozen=True)
class FailedStart:
    """An engine has died before it served. `refused`: its own word that this configuration cannot work anywhere."""

    now: float
    cause: Cause
    how: str
    refused: str | None = None


@dataclass(frozen=True)
class Poison:
    """A content that killed engines."""

    incident: str
    until: float  # seconds, monotonic


@dataclass(frozen=True)
class RungTraits:
    """What the policy needs to know of a rung."""

    name: str
    relieves_memory: bool = False  # needs less memory than the rung before


@dataclass(frozen=True)
class State:
    """All that is remembered between two deaths."""

    ladder: tuple[RungTraits, ...] = (RungTraits("full"),)
    rung: int = 0
    inquiry: Inquiry = field(default_factory=Inquiry)
    poisons: Mapping[bytes, Poison] = field(default_factory=dict)
    strikes: tuple[float, ...] = ()  # times
    served: bool = False  # some engine has
    known_good: bool = False  # an engine on this rung has produced KNOWN_GOOD_TOKENS
    failed_starts: int = 0  # in a row
    barren: int = 0  # deaths in a row of engines that did nothing before
    interrupted: int = 0  # the same, from outside
    hangs: int = 0
    since: float = 0.0  # when the rung was reached or last struck
    climbing: bool = False  # the rung is on trial after a climb
    relapses: int = 0
    restored: bool = False  # after such a search; not twice, before something has lived: else a sick server never ends
    searched_from: int | None = None  # the rung that was left because there was no request to compare an accused with

    @property
    def last_rung(self) -> bool:
        return self.rung == len(self.ladder) - 1

    @property
    def patience(self) -> float:
        """Factor of every deadline: an engine that hung may only have been slow, so the next gets more time."""
        return PATIENCE[min(self.hangs, len(PATIENCE) - 1)]

    @property
    def chains(self) -> Mapping[str, int]:
        """Suspect → deaths in a row that it was aboard of."""
        return self.inquiry.chains

    @property
    def trial(self) -> tuple[str, ...]:
        """Suspects that run alone now; empty means that all may run but the accused."""
        return self.inquiry.trial

    @property
    def untried(self) -> tuple[tuple[str, ...], ...]:
        return self.inquiry.untried


@dataclass(frozen=True)
class Decision:
    """What follows. `delay` is the seconds until the next engine is started; None means that none ever is."""

    delay: float | None
    convicted: tuple[Suspect, ...] = ()
    why: tuple[str, ...] = ()  # sentences for the operator
    misconfigured: bool = False  # the engine's own word that what was asked for cannot serve here: no rung mends that


# ---- deaths ----------------------------------------------------------------------------------------------------------


def after_death(state: State, death: Death) -> tuple[State, Decision]:
    """An engine that served has died: find the guilty, judge the rung, decide whether to go on."""
    productive = death.tokens > 0 or death.age >= STABLE_SECONDS
    if productive:
        state = replace(state, barren=0, interrupted=0)
    if death.tokens >= KNOWN_GOOD_TOKENS:
        state = replace(state, known_good=True, restored=False)
    if death.cause == "hang":
        state = replace(state, hangs=state.hangs + 1)
    if death.cause == "outside":
        state = replace(state, interrupted=state.interrupted + (not productive))
        why = "it was ended from outside, which speaks against no request and no configuration"
        return _go_on(state, (), (why,), death.others)
    strikes = (*(at for at in state.strikes if at > death.now - STRIKE_SECONDS), death.now)
    state = replace(state, barren=state.barren + (not productive), strikes=strikes)
    waited = bool(state.inquiry.accused) and not state.trial
    if any(one.id in state.trial for one in death.aboard):
        inquiry, why = search.narrow(state.inquiry, death.aboard, death.incident, death.steps)
    else:
        inquiry, why = search.suspect(state.inquiry, death.aboard, death.now)
    state = replace(state, inquiry=search.remember(inquiry, death.left, death.now))
    inquiry = state.inquiry
    if not inquiry.open:
        state, judged = _judge_rung(state, death)
        return _go_on(state, (), (why, *judged), death.others)
    state, convicted, found = _judge_requests(state, death, waited)
    return _go_on(state, convicted, (why, *found), death.others)


def _judge_requests(state: State, death: Death, waited: bool) -> tuple[State, tuple[Suspect, ...], tuple[str, ...]]:
    """A death in an inquiry: is somebody guilty, or is it the rung after all?"""
    strangers = waited and not (state.inquiry.compared or state.known_good)  # died where the accused were not
    if (strangers or state.inquiry.nobody_lived() or state.inquiry.anybody_dies) and not state.last_rung:
        state = replace(state, inquiry=search.forget(state.inquiry))
        state, told = _step_down(state, death.now, death.cause, "engines die whichever requests they run")
        return state, (), told
    inquiry, guilty = search.settle(state.inquiry, state.known_good)
    state = replace(state, inquiry=inquiry)
    why: tuple[str, ...] = ()
    if guilty:
        state = replace(state, barren=0)  # these deaths are explained
    if not guilty and not inquiry.trial and inquiry.accused:  # nobody has lived on this rung
        if death.others:
            return state, (), ("it waits, while the others show whether the engine is sound",)
        if not state.last_rung:
            origin = state.rung if state.searched_from is None else state.searched_from
            state, why = _step_down(state, death.now, death.cause, "there is no request to compare it with")
            state = replace(state, searched_from=origin)
            return replace(state, inquiry=search.retry(replace(inquiry, felled=()))), (), why
        if state.barren >= BARREN_DEATHS:
            return state, (), ()  # and no request has ever lived here: `_go_on` gives up
        inquiry, guilty = search.verdict(inquiry)
        state = replace(state, inquiry=inquiry)
        if guilty and state.searched_from is not None and not state.restored:  # it dies on every rung: none is at fault
            state = replace(state, rung=state.searched_from, searched_from=None, restored=True)
            why = (f"it died in every configuration, so the next engine runs {state.ladder[state.rung].name!r} again",)
    if not guilty:
        return state, (), why
    state, told = _convict(state, guilty, death.now)
    return state, tuple(one.suspect for one in guilty), (*why, *told)


def _convict(state: State, guilty: tuple[Accused, ...], now: float) -> tuple[State, tuple[str, ...]]:
    poisons = {content: poison for content, poison in state.poisons.items() if poison.until > now}
    poisons |= {one.suspect.content: Poison(one.incident, now + POISON_SECONDS) for one in guilty}
    known_good = state.known_good and state.inquiry.compared  # on old evidence alone, only once
    return replace(state, poisons=poisons, strikes=(), known_good=known_good), tuple(
        f"request {one.suspect.id} is the cause: it fails, and the same request is refused for {POISON_SECONDS:.0f} s"
        for one in guilty
    )


def _judge_rung(state: State, death: Death) -> tuple[State, tuple[str, ...]]:
    """A death that no request explains so far counts against the rung."""
    relapse = state.climbing and death.now - state.since < _proof(state)
    state = replace(state, since=death.now)
    if relapse:
        return _relapse(state, death.now, death.cause)
    if len(state.strikes) < STRIKES:
        return state, ()
    return _step_down(state, death.now, death.cause, f"{len(state.strikes)} deaths that no request explains")


def after_failed_start(state: State, failed: FailedStart) -> tuple[State, Decision]:
    """An engine has died before it served: try again, on a safer rung if need be, and not for ever."""
    if failed.refused is not None and failed.cause != "memory" and not state.served:
        return state, Decision(None, why=(failed.refused,), misconfigured=True)
    if failed.cause == "outside":
        why = f"it was ended from outside while it started ({failed.how})"
        return _go_on(replace(state, interrupted=state.interrupted + 1), (), (why,), 0)
    count = state.failed_starts + 1
    state = replace(state, failed_starts=count)
    told = failed.refused or failed.how
    if state.climbing:
        state, judged = _relapse(state, failed.now, failed.cause)
        return state, Decision(_backoff(count), why=(told, *judged))
    # For a lack of memory a rung that takes as much is no help, and would only be slower once memory is there again.
    if count >= START_TRIES and (_relieving(state) if failed.cause == "memory" else not state.last_rung):
        state, judged = _step_down(state, failed.now, failed.cause, f"{count} starts in a row failed")
        return state, Decision(_backoff(count), why=(told, *judged))
    if count >= (SERVED_TRIES if state.served else LAST_TRIES):
        reason = f"{count} engines in a row ended before they served; the last: {told}"
        return state, Decision(None, why=(reason,))
    return state, Decision(_backoff(count), why=(told,))


def _go_on(state: State, convicted: tuple[Suspect, ...], why: tuple[str, ...], others: int) -> tuple[State, Decision]:
    """Start another engine, unless the last ones have done nothing."""
    if state.interrupted >= OUTSIDE_DEATHS:
        reason = f"{state.interrupted} engines in a row were ended from outside before they did anything"
        return state, Decision(None, convicted, (*why, reason))
    if state.barren >= BARREN_DEATHS and state.last_rung and not _promising(state, others):
        reason = f"{state.barren} engines in a row died before they did anything, on the safest configuration there is"
        return state, Decision(None, convicted, (*why, reason))
    if state.trial:
        return state, Decision(
            0.0, convicted, why
        )  # the next engine meets other requests: there is nothing to wait for
    idle_deaths = max(state.interrupted, state.barren)
    return state, Decision(_backoff(idle_deaths - 1) if idle_deaths > 1 else 0.0, convicted, why)


def _promising(state: State, others: int) -> bool:
    """An inquiry goes on that may yet find that requests were the cause."""
    inquiry = state.inquiry
    if not inquiry.open or inquiry.nobody_lived(2):  # the last rung needs stronger evidence: nothing comes after it
        return False
    if others or inquiry.compared or state.known_good or inquiry.untold:
        return True
    return bool(inquiry.trial) and len(inquiry.contents) < 2


def _step_down(state: State, now: float, cause: Cause, reason: str) -> tuple[State, tuple[str, ...]]:
    """The next safer rung; for a lack of memory the next one that needs less, where there is one."""
    below = range(state.rung + 1, len(state.ladder))
    if not below:
        return state, (f"{reason}, and there is no safer configuration than {state.ladder[state.rung].name!r}",)
    relieving = _relieving(state)
    rung = relieving[0] if cause == "memory" and relieving else below[0]
    state = replace(
        state, rung=rung, strikes=(), failed_starts=0, barren=0, since=now, climbing=False, known_good=False,
        searched_from=None,
    )  # fmt: skip
    return state, (f"{reason}: the next engine runs rung {rung}, {state.ladder[rung].name!r}",)


def _relieving(state: State) -> tuple[int, ...]:
    """The rungs below that need less memory than the one before them."""
    return tuple(index for index in range(state.rung + 1, len(state.ladder)) if state.ladder[index].relieves_memory)


def _relapse(state: State, now: float, cause: Cause) -> tuple[State, tuple[str, ...]]:
    reason = f"rung {state.ladder[state.rung].name!r} has relapsed"
    return _step_down(replace(state, relapses=min(MOST_RELAPSES, state.relapses + 1)), now, cause, reason)


# ---- the time between deaths -----------------------------------------------------------------------------------------


def after_start(state: State) -> State:
    """An engine serves."""
    return replace(state, failed_starts=0, served=True)


def after_proof(state: State, request_id: str, now: float) -> tuple[State, tuple[Accused, ...]]:
    """The request has lived on past the point of death, or has ended. Whom does that convict?"""
    return _settled(replace(state, inquiry=search.proven(state.inquiry, request_id)), now)


def after_departure(state: State, gone: Suspect, now: float) -> tuple[State, tuple[Accused, ...]]:
    """The request has left unfinished, whatever it was. Whom does that convict?"""
    if gone.content in state.poisons:
        return _settled(replace(state, inquiry=search.drop(state.inquiry, gone.id)), now)
    if gone.id not in state.chains:
        return state, ()
    return _settled(replace(state, inquiry=search.departed(state.inquiry, gone, now)), now)


def after_comparison(state: State, now: float) -> tuple[State, tuple[Accused, ...]]:
    """Others have lived for long enough where the accused died. Whom does that convict?"""
    return _settled(replace(state, inquiry=replace(state.inquiry, compared=True)), now)


def without_comparison(state: State) -> State:
    """Only the accused are left, and nobody has lived: let them run again, one by one."""
    return replace(state, inquiry=search.retry(state.inquiry))


def _settled(state: State, now: float) -> tuple[State, tuple[Accused, ...]]:
    inquiry, guilty = search.settle(state.inquiry, state.known_good)
    state = replace(state, inquiry=inquiry)
    if guilty:
        state, _ = _convict(state, guilty, now)
    return state, guilty


def may_run(state: State, request_id: str) -> bool:
    """Whether the request may be with the engine now; while suspects are tried, only they may."""
    return search.may_run(state.inquiry, request_id)


def poison_of(state: State, content: bytes, now: float) -> Poison | None:
    """What is remembered against this content, if it is still held against it."""
    poison = state.poisons.get(content)
    return poison if poison is not None and poison.until > now else None


def climb(state: State, now: float, idle: bool) -> State:
    """Try the rung above once this one has held for the time of proof: at an idle moment, or in the end anyway."""
    if state.rung == 0 or state.inquiry.open:
        return state
    held = now - state.since
    if held < _proof(state) * (1 if idle else 2):
        return state
    return replace(state, rung=state.rung - 1, since=now, strikes=(), climbing=True, known_good=False, failed_starts=0)


def _proof(state: State) -> float:
    return PROOF_SECONDS * 2.0**state.relapses


def _backoff(count: int) -> float:
    return min(LONGEST_DELAY, 0.5 * 2.0 ** (count - 1))
