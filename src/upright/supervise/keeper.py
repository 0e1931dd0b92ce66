"""Keeps every request in flight accounted for: in the journal, with the engine or waiting, ended exactly once.

All that decides over requests is here and in `policy`, and none of it knows a clock, a socket or a process: time comes
in as a number, messages go out through `send`, and what becomes of the engine is an answer. So the simulation in the
tests drives this very code, and the supervisor only carries out what it says.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from upright.messages import Abort, PlainTokens, Request, SequenceOutput, Submit
from upright.supervise import policy
from upright.supervise.inquiry import Accused, Suspect
from upright.supervise.journal import NEVER, CrashesEngine, DeadlinePassed, Entry, Journal, RequestLost, Rouse
from upright.supervise.policy import Cause, Death, Decision, State

RECENTLY_LEFT = 1024  # requests whose clients have gone; the engine's next step is without them
PROVEN_TOKENS = 8  # past the point of death, and a suspect is none any more


class LostContact(Exception):
    """What the engine says has a gap: a message was lost, and the engine has to be replaced."""


@dataclass(frozen=True)
class EngineEnd:
    """How a serving engine ended, as far as the requests are concerned."""

    now: float  # seconds, monotonic
    cause: Cause
    in_step: frozenset[str] | None  # requests in the step that died; None: it died between steps
    incident: str


class Keeper:
    """The journal, and which of its requests are with the engine."""

    def __init__(self, state: State, send: Callable[[Submit | Abort], None], rouse: Rouse | None = None) -> None:
        self.state = state
        self.journal = Journal(rouse)
        self.serving = False
        self.replays = 0  # requests that were handed to another engine
        self.recovered_tokens = 0  # tokens that they had by then
        self.awaited: set[str] = set()  # requests aboard of the last death that have not gone on since
        self.on_convicted: Callable[[Accused], None] = lambda accused: None  # a request was found guilty and has failed
        self._send = send
        self._aboard: dict[str, Entry] = {}  # with the engine, in order of arrival
        self._goals: dict[str, int] = {}  # suspect → length of output that proves it innocent
        self._left: dict[str, Suspect] = {}  # went while with the present engine, which may die of it all the same
        self._now = 0.0  # of the last thing that happened
        self._served_since = 0.0
        self._tokens = 0  # that the present engine has produced
        self._steps = 0  # of it that were heard of
        self._handed_over_at = 0  # of these, before the last request was handed over

    # ---- clients -----------------------------------------------------------------------------------------------------

    def submit(self, request: Request, now: float, timeout: float | None = None) -> Entry:
        """Put the request into the journal, and hand it to the engine if one serves and the policy lets it run.

        Raises: CrashesEngine for what is remembered to have killed engines.
        """
        self._now = now
        if self.state.poisons:
            poison = policy.poison_of(self.state, content_of(request), now)
            if poison is not None:
                raise CrashesEngine(poison.incident)
        entry = self.journal.open(request, now, now + timeout if timeout is not None else None)
        if self.serving and policy.may_run(self.state, request.id):
            self._hand_over(entry)
        return entry

    def release(self, request_id: str) -> None:
        """The client has everything, or has gone."""
        entry = self.journal.close(request_id)
        if entry is not None and not entry.done:
            self._depart([entry])

    def expire(self, now: float) -> list[str]:
        """End what has outlived its deadline; returns the ids."""
        self._now = now
        late = [e for e in self.journal if e.deadline is not None and e.deadline <= now and not e.done]
        for entry in late:
            entry.lose(DeadlinePassed((entry.deadline or now) - entry.arrived))
        self._depart(late)
        return [entry.request.id for entry in late]

    def lose_all(self, reason: RequestLost) -> int:
        """Nothing in flight will be finished; returns how many are told so."""
        unfinished = [entry for entry in self.journal if not entry.done]
        for entry in unfinished:
            entry.lose(reason)
        self._depart(unfinished)
        return len(unfinished)

    @property
    def unfinished(self) -> int:
        return sum(not entry.done for entry in self.journal)

    @property
    def engine_tokens(self) -> int:
        """That the present engine has produced."""
        return self._tokens

    @property
    def aboard(self) -> tuple[str, ...]:
        """Requests that are with the engine."""
        return tuple(self._aboard)

    # ---- the engine --------------------------------------------------------------------------------------------------

    def engine_serves(self, now: float) -> None:
        """A new engine takes requests: hand it everything that may run, with the tokens that are there already."""
        self._now = self._served_since = now
        self.state = policy.after_start(self.state)
        self.serving = True
        self._tokens = self._steps = 0
        self._arrange()

    def take(self, outputs: Iterable[SequenceOutput], now: float, plain: PlainTokens | None = None) -> None:
        """What a step added. Late words on a request that was taken back are passed over. Raises: LostContact."""
        self._now = now
        proven, gap = [], None
        if plain is not None:
            if self.awaited or self._goals:
                outputs = [*outputs, *plain.outputs()]
            else:
                gap = self._take_plain(plain, now)
        for update in outputs:
            entry = self._aboard.get(update.id)
            if entry is None or update.attempt != entry.handed_over - 1:
                continue
            if update.at != len(entry.output):
                gap = _gap(update.id, update.at, entry)
                break  # but what was told before it is true
            entry.append(update, now)
            self._tokens += len(update.tokens)
            if entry.done:
                del self._aboard[update.id]
            if self.awaited:
                self.awaited.discard(update.id)
            if self._goals and update.id in self._goals and (entry.done or len(entry.output) >= self._goals[update.id]):
                proven.append(update.id)
        for request_id in proven:
            del self._goals[request_id]
            self.state, guilty = policy.after_proof(self.state, request_id, now)
            self._fail(guilty)
        self._steps += 1
        if self.state.inquiry.open and self._compares():
            self.state, guilty = policy.after_comparison(self.state, now)
            self._fail(guilty)
        if proven or self.state.inquiry.open:
            self._arrange()
        if gap is not None:
            raise gap

    def _take_plain(self, plain: PlainTokens, now: float) -> LostContact | None:
        """As `take`, for the bulk of all tokens: nothing but a token each, and nobody of whom anything is awaited.

        Returns the gap, if there is one.
        """
        aboard, roused, taken, gap = self._aboard, [], 0, None
        for name, at, attempt, token in zip(plain.ids, plain.at, plain.attempts, plain.tokens, strict=True):
            entry = aboard.get(name)
            if entry is None or attempt != entry.handed_over - 1:
                continue
            if at != len(entry.output):
                gap = _gap(name, at, entry)
                break
            entry.output.append(token)
            entry.last_token = now
            taken += 1
            if at >= entry.wake_at:
                entry.wake_at = NEVER
                roused.append(entry)
        self._tokens += taken
        if roused:
            self.journal.rouse(roused)
        return gap

    def _compares(self) -> bool:
        """Whether the present engine, with none of the accused, has lived for long enough to speak against them."""
        inquiry = self.state.inquiry
        if inquiry.compared or self._steps < inquiry.needed_steps:
            return False
        return all(one.suspect.id not in self._aboard for one in inquiry.accused)

    def engine_ended(self, end: EngineEnd) -> Decision:
        """An engine that served is gone, and everything that it sent has been taken. What is to be done now?"""
        self._now = end.now
        # NOTE: where a step died whose requests have all ended or left, nobody else is to blame: what is aboard now was
        # sent to an engine that was dead already.
        in_step = end.in_step or self._aboard.keys()
        struck = [entry for name, entry in self._aboard.items() if name in in_step]
        left = [one for name, one in self._left.items() if name in in_step]
        suspects = tuple(suspect_of(entry) for entry in struck)
        tried = self.state.inquiry.tried
        others = sum(not entry.done and entry.request.id not in tried for entry in self.journal)
        age, steps = end.now - self._served_since, self._steps - self._handed_over_at
        death = Death(end.now, end.cause, suspects, self._tokens, age, end.incident, others, steps, tuple(left))
        self.state, decision = policy.after_death(self.state, death)
        for entry in self._aboard.values():
            entry.deaths += 1
        self._take_back()
        self._fail(Accused(suspect, end.incident) for suspect in decision.convicted)
        return decision

    def engine_replaced(self) -> None:
        """The engine has gone because the front wanted it to: nobody is blamed."""
        self._take_back()

    def _take_back(self) -> None:
        """Nothing is with an engine any more. What was waits for the next one."""
        self.serving = False
        self.awaited = {name for name, entry in self._aboard.items() if not entry.done}
        self._aboard.clear()
        self._left.clear()
        self._goals = {name: length + PROVEN_TOKENS for name, length in self.state.inquiry.lengths.items()}

    def _fail(self, guilty: Iterable[Accused]) -> None:
        """They and all requests with the same content fail."""
        for accused in guilty:
            same = [e for e in self.journal if not e.done and content_of(e.request) == accused.suspect.content]
            for entry in same:
                entry.lose(CrashesEngine(accused.incident))
            self._depart(same)
            self.on_convicted(accused)

    def _depart(self, entries: Iterable[Entry]) -> None:
        """These have left or have failed: they stop wherever they are, and what is known of them is put on file."""
        aboard, before = [], self.state
        for entry in entries:
            name = entry.request.id
            self.awaited.discard(name)
            self._goals.pop(name, None)
            if self._aboard.pop(name, None) is not None:
                aboard.append(name)
                self._left[name] = suspect_of(entry)
                if len(self._left) > RECENTLY_LEFT:
                    del self._left[next(iter(self._left))]
            self.state, guilty = policy.after_departure(self.state, suspect_of(entry), self._now)
            self._fail(guilty)
        if aboard:
            self._send(Abort(aboard))
        if self.state is not before or self.state.inquiry.open:
            self._arrange()

    def _arrange(self) -> None:
        """Have exactly those with the engine that may run."""
        if not self.serving:
            return
        state = self.state
        if state.inquiry.accused and not state.trial:
            waiting = {one.suspect.id for one in state.inquiry.accused}
            if all(entry.done or entry.request.id in waiting for entry in self.journal):
                self.state = policy.without_comparison(state)
        parked = [name for name in self._aboard if not policy.may_run(self.state, name)]
        for name in parked:
            del self._aboard[name]
        if parked:
            self._send(Abort(parked))
        for entry in self.journal:
            name = entry.request.id
            if not entry.done and name not in self._aboard and policy.may_run(self.state, name):
                self._hand_over(entry)

    def _hand_over(self, entry: Entry) -> None:
        request = entry.request
        if entry.handed_over:
            self.replays += 1
            self.recovered_tokens += len(entry.output)
            request = msgspec.structs.replace(request, output=list(entry.output), attempt=entry.handed_over)
        entry.handed_over += 1
        self._handed_over_at = self._steps
        self._aboard[request.id] = entry
        self._left.pop(request.id, None)
        self._send(Submit(request))


def _gap(name: str, at: int, entry: Entry) -> LostContact:
    return LostContact(f"the engine sent token {at} of request {name}, whose next one is {len(entry.output)}")


def suspect_of(entry: Entry) -> Suspect:
    return Suspect(entry.request.id, content_of(entry.request), len(entry.output))


def content_of(request: Request) -> bytes:
    """What makes two requests the same to an engine: prompt, images and sampling, whatever their seeds."""
    digest = blake2b(array("q", request.prompt).tobytes(), digest_size=16)
    for image in request.images:
        digest.update(image.key)
    digest.update(msgspec.msgpack.encode(msgspec.structs.replace(request.params, seed=0)))
    return digest.digest()
