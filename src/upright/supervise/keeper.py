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

from upright.messages import Abort, Request, SequenceOutput, Submit
from upright.supervise import policy
from upright.supervise.journal import CrashesEngine, DeadlinePassed, Entry, Journal, RequestLost
from upright.supervise.policy import Cause, Death, Decision, State, Suspect

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

    def __init__(self, state: State, send: Callable[[Submit | Abort], None]) -> None:
        self.state = state
        self.journal = Journal()
        self.serving = False
        self.replays = 0  # requests that were handed to another engine
        self.recovered_tokens = 0  # tokens that they had by then
        self.awaited: set[str] = set()  # requests aboard of the last death that have not gone on since
        self._send = send
        self._aboard: dict[str, Entry] = {}  # with the engine, in order of arrival
        self._goals: dict[str, int] = {}  # suspect → length of output that proves it innocent
        self._served_since = 0.0
        self._tokens = 0  # that the present engine has produced

    # ---- clients -----------------------------------------------------------------------------------------------------

    def submit(self, request: Request, now: float, timeout: float | None = None) -> Entry:
        """Put the request into the journal, and hand it to the engine if one serves and the policy lets it run.

        Raises: CrashesEngine for what is remembered to have killed engines.
        """
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
        if self.journal.close(request_id) is not None:
            self._forget(request_id)

    def expire(self, now: float) -> int:
        """End what has outlived its deadline; returns how many."""
        late = [e for e in self.journal if e.deadline is not None and e.deadline <= now and not e.done]
        for entry in late:
            entry.lose(DeadlinePassed((entry.deadline or now) - entry.arrived))
            self._forget(entry.request.id)
        return len(late)

    def lose_all(self, reason: RequestLost) -> int:
        """Nothing in flight will be finished; returns how many are told so."""
        unfinished = [entry for entry in self.journal if not entry.done]
        for entry in unfinished:
            entry.lose(reason)
            self._forget(entry.request.id)
        return len(unfinished)

    @property
    def unfinished(self) -> int:
        return sum(not entry.done for entry in self.journal)

    @property
    def aboard(self) -> tuple[str, ...]:
        """Requests that are with the engine."""
        return tuple(self._aboard)

    # ---- the engine --------------------------------------------------------------------------------------------------

    def engine_serves(self, now: float) -> None:
        """A new engine takes requests: hand it everything that may run, with the tokens that are there already."""
        self.state = policy.after_start(self.state)
        self.serving = True
        self._served_since = now
        self._tokens = 0
        self._fill()

    def take(self, outputs: Iterable[SequenceOutput], now: float) -> None:
        """What a step added. Late words on a request that was taken back are passed over. Raises: LostContact."""
        proven = []
        for update in outputs:
            entry = self._aboard.get(update.id)
            if entry is None or update.attempt != entry.handed_over - 1:
                continue
            if update.at != len(entry.output):
                raise LostContact(
                    f"the engine sent token {update.at} of request {update.id}, whose next one is {len(entry.output)}"
                )
            entry.append(update, now)
            self._tokens += len(update.tokens)
            if entry.done:
                del self._aboard[update.id]
            if self.awaited:
                self.awaited.discard(update.id)
            if self._goals and update.id in self._goals and (entry.done or len(entry.output) >= self._goals[update.id]):
                proven.append(update.id)
        for request_id in proven:
            self._absolve(request_id)

    def engine_ended(self, end: EngineEnd) -> Decision:
        """An engine that served is gone, and everything that it sent has been taken. What is to be done now?"""
        struck = [
            entry for name, entry in self._aboard.items() if end.in_step is None or name in end.in_step
        ] or list(self._aboard.values())
        suspects = tuple(Suspect(entry.request.id, content_of(entry.request)) for entry in struck)
        age = end.now - self._served_since
        death = Death(end.now, end.cause, suspects, self._tokens, age, end.incident)
        self.state, decision = policy.after_death(self.state, death)
        for entry in self._aboard.values():
            entry.deaths += 1
        self._take_back()
        if decision.convicted:
            guilty = {suspect.content for suspect in decision.convicted}
            for entry in self.journal:
                if not entry.done and content_of(entry.request) in guilty:
                    entry.lose(CrashesEngine(end.incident))
                    self._forget(entry.request.id)
        return decision

    def engine_replaced(self) -> None:
        """The engine has gone because the front wanted it to: nobody is blamed."""
        self._take_back()

    def _take_back(self) -> None:
        """Nothing is with an engine any more. What was waits for the next one."""
        self.serving = False
        self.awaited = {name for name, entry in self._aboard.items() if not entry.done}
        self._aboard.clear()
        entries = {name: self.journal.get(name) for name in self.state.chains}
        self._goals = {name: len(e.output) + PROVEN_TOKENS for name, e in entries.items() if e is not None}

    def _forget(self, request_id: str) -> None:
        """The request has left or has failed: it stops wherever it is, and is no suspect any more."""
        self.awaited.discard(request_id)
        if self._aboard.pop(request_id, None) is not None:
            self._send(Abort([request_id]))
        self._absolve(request_id)

    def _absolve(self, request_id: str) -> None:
        """Take the suspicion off a request; where that ends a trial, let those go on whose turn it is."""
        self._goals.pop(request_id, None)
        before = self.state
        self.state = policy.absolve(before, request_id)
        if self.state.trial == before.trial or not self.serving:
            return
        parked = [name for name in self._aboard if not policy.may_run(self.state, name)]
        for name in parked:
            del self._aboard[name]
        if parked:
            self._send(Abort(parked))
        self._fill()

    def _fill(self) -> None:
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
        self._aboard[request.id] = entry
        self._send(Submit(request))


def content_of(request: Request) -> bytes:
    """What makes two requests the same to an engine: prompt, images and sampling, whatever their seeds."""
    digest = blake2b(array("q", request.prompt).tobytes(), digest_size=16)
    for image in request.images:
        digest.update(image.key)
    digest.update(msgspec.msgpack.encode(msgspec.structs.replace(request.params, seed=0)))
    return digest.digest()
