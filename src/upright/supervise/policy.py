"""What to do when an engine dies: pure functions of what happened, with no clock, socket or process in them.

Three questions are answered after each death.

*Who did it?* Requests aboard are suspects. After a first death all are replayed. If one dies again with requests aboard
that have not proven themselves since, these are tried apart: halves of them run alone, the others wait. A group
whose members all prove themselves (a few tokens past the point of death, or their end) is innocent; one that dies
is split again. A request that dies alone, and was aboard of every death in a row that led there, is the culprit: it fails,
and its content is remembered for a while. One culprit among n costs 2 + log2(n) deaths.

*Is it the configuration?* Deaths that no request explains are strikes against the rung, the configuration that runs.
Three strikes soon after each other, or two starts that fail, and the next engine runs a safer rung. After a proven
time it climbs back.

*Is there any use in going on?* Deaths of engines that did nothing before are counted in a row; past a limit on the last
rung, no more engines are started. An engine that has done work before it died is no reason to stop.

What was done from outside (SIGKILL where the kernel counted no lack of memory, SIGSTOP, SIGTERM) speaks against no request
and no rung.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Cause = Literal["outside", "crash", "memory", "hang"]

LEAST_DEATHS = 3  # in a row, the last of them alone, until a request is found guilty
POISON_SECONDS = 600.0  # that the content of a guilty request is remembered
STRIKES = 3  # within STRIKE_SECONDS, until a rung is left
STRIKE_SECONDS = 600.0
START_TRIES = 2  # failed starts in a row, until a rung is left
LAST_TRIES = 3  # failed starts in a row on the last rung, until no more engines are started
BARREN_DEATHS = 5  # engines in a row on the last rung that die before they have done anything
OUTSIDE_DEATHS = 10  # the same, for deaths from outside, on any rung
STABLE_SECONDS = 60.0  # an engine that has served so long has done something, even where there was nothing to do
LONGEST_DELAY = 30.0  # seconds
PROOF_SECONDS = 1800.0  # without a strike, until a higher rung is tried again; doubled by each relapse
MOST_RELAPSES = 6
PATIENCE = (1.0, 2.0, 4.0)  # factors of a step's deadline, by the number of hangs so far


@dataclass(frozen=True)
class Suspect:
    """A request that was aboard when an engine died. Requests with equal content share their fate."""

    id: str
    content: bytes


@dataclass(frozen=True)
class Death:
    """An engine that served has died."""

    now: float  # seconds, monotonic
    cause: Cause
    aboard: tuple[Suspect, ...]  # in the step that died, in order of arrival
    tokens: int  # that this engine produced
    age: float  # seconds that it served
    incident: str  # id of the report


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
    """All that is remembered between two deaths. NOTE: `trial` empty means that every request may run."""

    ladder: tuple[RungTraits, ...] = (RungTraits("full"),)
    rung: int = 0
    chains: Mapping[str, int] = field(default_factory=dict)  # suspect → deaths in a row that it was aboard of
    trial: tuple[str, ...] = ()  # suspects that run alone now and have not proven themselves
    untried: tuple[tuple[str, ...], ...] = ()  # groups whose turn comes after it
    poisons: Mapping[bytes, Poison] = field(default_factory=dict)
    strikes: tuple[float, ...] = ()  # times
    failed_starts: int = 0  # in a row
    barren: int = 0  # deaths in a row of engines that did nothing before
    interrupted: int = 0  # the same, from outside
    hangs: int = 0
    since: float = 0.0  # when the rung was reached or last struck
    climbing: bool = False  # the rung is on trial after a climb
    relapses: int = 0

    @property
    def last_rung(self) -> bool:
        return self.rung == len(self.ladder) - 1

    @property
    def patience(self) -> float:
        """Factor of every deadline: an engine that hung may only have been slow, so the next gets more time."""
        return PATIENCE[min(self.hangs, len(PATIENCE) - 1)]


@dataclass(frozen=True)
class Decision:
    """What follows. `delay` is the seconds until the next engine is started; None means that none ever is."""

    delay: float | None
    convicted: tuple[Suspect, ...] = ()
    why: tuple[str, ...] = ()  # sentences for the operator


# ---- deaths ----------------------------------------------------------------------------------------------------------


def after_death(state: State, death: Death) -> tuple[State, Decision]:
    """An engine that served has died: find the guilty, judge the rung, decide whether to go on."""
    productive = death.tokens > 0 or death.age >= STABLE_SECONDS
    if productive:
        state = replace(state, barren=0, interrupted=0)
    if death.cause == "hang":
        state = replace(state, hangs=state.hangs + 1)
    if death.cause == "outside":
        state = replace(state, interrupted=state.interrupted + (not productive))
        why = "it was ended from outside, which speaks against no request and no configuration"
        return _go_on(state, (), (why,))
    if any(one.id in state.trial for one in death.aboard):
        state, convicted, why = _narrow(state, death)
        return _go_on(state, convicted, (why,))
    if state.trial:
        why = "none of the suspects was aboard"
    else:
        state, why = _suspect(state, death)
    state = replace(state, barren=state.barren + (not productive))
    state, judged = _strike(state, death)
    return _go_on(state, (), (why, *judged))


def _suspect(state: State, death: Death) -> tuple[State, str]:
    """A death while everything ran: suspect who was aboard, and try those apart who were suspects already."""
    again = tuple(one.id for one in death.aboard if one.id in state.chains)
    chains = {one.id: state.chains.get(one.id, 0) + 1 for one in death.aboard}
    state = replace(state, chains=chains)
    if not death.aboard:
        return state, "no request was aboard"
    if not again:
        return state, f"all {_requests(len(death.aboard))} aboard are replayed"
    first, rest = _halves(again)
    state = replace(state, trial=first, untried=(rest,) if rest else ())
    return state, (
        f"{_requests(len(again))} were aboard of the death before as well; {_requests(len(first))} of them run alone "
        "now, to find out which one it is"
    )


def _narrow(state: State, death: Death) -> tuple[State, tuple[Suspect, ...], str]:
    """A death while a group of suspects ran alone: split those who were in the step, or convict the only one."""
    aboard = {one.id: one for one in death.aboard}
    struck = tuple(name for name in state.trial if name in aboard)
    bystanders = tuple(name for name in state.trial if name not in struck)
    chains = dict(state.chains) | {name: state.chains.get(name, 0) + 1 for name in struck}
    state = replace(state, chains=chains)
    others = (bystanders, *state.untried) if bystanders else state.untried
    if len(struck) > 1:
        first, rest = _halves(struck)
        state = replace(state, trial=first, untried=(rest, *others))
        return state, (), f"it is one of {_requests(len(struck))}; {_requests(len(first))} of them run alone now"
    (name,) = struck
    if tuple(aboard) != struck or chains[name] < LEAST_DEATHS:
        return replace(state, trial=struck, untried=others), (), f"request {name} runs alone once more, to be sure"
    culprit = aboard[name]
    remembered = {key: poison for key, poison in state.poisons.items() if poison.until > death.now}
    remembered[culprit.content] = Poison(death.incident, death.now + POISON_SECONDS)
    state = _absolve(replace(state, trial=struck, untried=others, poisons=remembered, strikes=()), name)
    return state, (culprit,), (
        f"request {name} was aboard of {chains[name]} deaths in a row, of the last one alone: it fails, and the same "
        f"request is refused for {POISON_SECONDS:.0f} s"
    )


def _strike(state: State, death: Death) -> tuple[State, tuple[str, ...]]:
    """Count a death that no request explains so far against the rung."""
    if any(one.id in state.chains and state.chains[one.id] > 1 for one in death.aboard):
        return state, ()  # a request is about to be found out; if none is, the next death counts
    strikes = (*(at for at in state.strikes if at > death.now - STRIKE_SECONDS), death.now)
    relapse = state.climbing and death.now - state.since < _proof(state)
    state = replace(state, strikes=strikes, since=death.now)
    if len(strikes) < (1 if relapse else STRIKES):
        return state, ()
    if relapse:
        state = replace(state, relapses=min(MOST_RELAPSES, state.relapses + 1))
        return _step_down(state, death.now, death.cause, f"rung {state.ladder[state.rung].name!r} has relapsed")
    return _step_down(state, death.now, death.cause, f"{len(strikes)} deaths that no request explains")


def after_failed_start(state: State, failed: FailedStart) -> tuple[State, Decision]:
    """An engine has died before it served: try again, on a safer rung if need be, and not for ever."""
    if failed.refused is not None and failed.cause != "memory":
        return state, Decision(None, why=(failed.refused,))
    if failed.cause == "outside":
        why = f"it was ended from outside while it started ({failed.how})"
        return _go_on(replace(state, interrupted=state.interrupted + 1), (), (why,))
    count = state.failed_starts + 1
    state = replace(state, failed_starts=count)
    told = failed.refused or failed.how
    if count >= START_TRIES and not state.last_rung:
        state, judged = _step_down(state, failed.now, failed.cause, f"{count} starts in a row failed")
        return state, Decision(_backoff(count), why=(told, *judged))
    if count >= LAST_TRIES:
        reason = f"{count} engines in a row ended before they served; the last: {told}"
        return state, Decision(None, why=(reason,))
    return state, Decision(_backoff(count), why=(told,))


def _go_on(state: State, convicted: tuple[Suspect, ...], why: tuple[str, ...]) -> tuple[State, Decision]:
    """Start another engine, unless the last ones have done nothing."""
    if state.interrupted >= OUTSIDE_DEATHS:
        reason = f"{state.interrupted} engines in a row were ended from outside before they did anything"
        return state, Decision(None, convicted, (*why, reason))
    if state.barren >= BARREN_DEATHS and state.last_rung:
        reason = f"{state.barren} engines in a row died before they did anything, on the safest configuration there is"
        return state, Decision(None, convicted, (*why, reason))
    idle_deaths = max(state.interrupted, state.barren)
    return state, Decision(_backoff(idle_deaths - 1) if idle_deaths > 1 else 0.0, convicted, why)


def _step_down(state: State, now: float, cause: Cause, reason: str) -> tuple[State, tuple[str, ...]]:
    """The next safer rung; for a lack of memory the next one that needs less, where there is one."""
    below = range(state.rung + 1, len(state.ladder))
    if not below:
        return state, (f"{reason}, and there is no safer configuration than {state.ladder[state.rung].name!r}",)
    relieving = [index for index in below if state.ladder[index].relieves_memory]
    rung = relieving[0] if cause == "memory" and relieving else below[0]
    state = replace(state, rung=rung, strikes=(), failed_starts=0, barren=0, since=now, climbing=False)
    return state, (f"{reason}: the next engine runs rung {rung}, {state.ladder[rung].name!r}",)


# ---- the time between deaths -----------------------------------------------------------------------------------------


def after_start(state: State) -> State:
    """An engine serves."""
    return replace(state, failed_starts=0)


def absolve(state: State, request_id: str) -> State:
    """The request has proven itself, has ended, or has left: nothing speaks against it any more."""
    return _absolve(state, request_id) if request_id in state.chains else state


def may_run(state: State, request_id: str) -> bool:
    """Whether the request may be with the engine now; while suspects are tried, only they may."""
    return not state.trial or request_id in state.trial


def poison_of(state: State, content: bytes, now: float) -> Poison | None:
    """What is remembered against this content, if it is still held against it."""
    poison = state.poisons.get(content)
    return poison if poison is not None and poison.until > now else None


def climb(state: State, now: float, idle: bool) -> State:
    """Try the rung above again, once this one has held for the time of proof: at an idle moment, or in the end anyway."""
    if state.rung == 0 or state.trial:
        return state
    held = now - state.since
    if held < _proof(state) * (1 if idle else 2):
        return state
    return replace(state, rung=state.rung - 1, since=now, strikes=(), climbing=True)


def _absolve(state: State, request_id: str) -> State:
    chains = {name: count for name, count in state.chains.items() if name != request_id}
    groups = [_without(group, request_id) for group in (state.trial, *state.untried)]
    if not groups[0]:  # its trial is over: the next group that is left has its turn
        groups = [group for group in groups if group] or [()]
    return replace(state, chains=chains, trial=groups[0], untried=tuple(group for group in groups[1:] if group))


def _proof(state: State) -> float:
    return PROOF_SECONDS * 2.0**state.relapses


def _backoff(count: int) -> float:
    return min(LONGEST_DELAY, 0.5 * 2.0 ** (count - 1))


def _halves(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    middle = (len(names) + 1) // 2
    return names[:middle], names[middle:]


def _without(names: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(one for one in names if one != name)


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"
