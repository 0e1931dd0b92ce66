"""An engine without arithmetic: it loads, takes messages, runs steps, writes its black box, dies when it is told to.

Its tokens are a pure function of prompt, seed and position, so whoever knows a request knows its whole answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Protocol

from upright.engine.black_box import Aboard, Phase, Reading, Record
from upright.messages import Abort, FinishReason, Request, SequenceOutput, Submit

END_TOKEN = 0
BASE_SECONDS = 0.01  # of a step, and per token in it
TOKEN_SECONDS = 0.0005


@lru_cache(maxsize=4096)
def answer(prompt: tuple[int, ...], seed: int, max_tokens: int) -> tuple[tuple[int, ...], FinishReason]:
    """All tokens of a request's answer and how it ends."""
    value = hash((prompt, seed)) & 0xFFFFFFFF  # a hash of integers, the same in every process
    tokens = []
    for _ in range(max_tokens):
        value = (value * 1664525 + 1013904223) & 0xFFFFFFFF
        tokens.append((value >> 16) % 50)
        if tokens[-1] == END_TOKEN:
            return tuple(tokens), "stop"
    return tuple(tokens), "length"


def answer_to(request: Request) -> tuple[tuple[int, ...], FinishReason]:
    return answer(tuple(request.prompt), request.params.seed, request.params.max_tokens)


class Clock:
    """Virtual time: what is to happen, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, what: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (max(when, self.now), self._count, what, arguments))

    def after(self, seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + seconds, what, *arguments)

    def advance(self) -> bool:
        """Let the next thing happen; False if there is nothing."""
        if not self._events:
            return False
        self.now, _, what, arguments = heapq.heappop(self._events)
        what(*arguments)
        return True


@dataclass(frozen=True)
class Poison:
    """Where a request kills its engine: in the chunk with this token of the prompt, when this output token is due, or
    while its images are decoded."""

    where: str  # "prompt", "output" or "decoding"
    index: int
    cause: str  # "crash", "memory" or "hang"


@dataclass(frozen=True)
class Build:
    """What kind of engine it is."""

    max_num_seqs: int
    budget: int  # tokens of a step
    steps_per_message: int
    load: tuple[float, ...]  # seconds between signs of life while it loads
    failure: str | None = None  # at the end of loading: "crash", "memory", "outside", "hang", "refused"
    dies_at_step: int | None = None  # whatever the requests: a sick rung
    dies_when_idle: float | None = None  # seconds after it began to serve
    sickness: str = "crash"


class Sequence:
    __slots__ = (
        "answer",
        "computed",
        "decoded_at",
        "decoding_since",
        "finish",
        "length",
        "output",
        "prompt",
        "request",
        "unsent",
    )

    def __init__(self, request: Request, now: float, decoding: float) -> None:
        self.request = request
        self.decoding_since = now
        self.decoded_at = now + decoding
        self.answer, self.finish = answer_to(request)
        self.prompt = len(request.prompt)
        self.output = len(request.output)
        self.unsent = self.output  # index of the first token that was not sent yet
        self.computed = 0


class Front(Protocol):
    """Who hears of an engine."""

    def ready(self, engine: ModelEngine) -> None: ...

    def tell(self, engine: ModelEngine, outputs: list[SequenceOutput]) -> None: ...

    def stepping(self, engine: ModelEngine, seconds: float) -> None:
        """A step begins that takes so long."""

    def died(self, engine: ModelEngine, cause: str) -> None:
        """Called once; a hang is no death."""


class ModelEngine:
    """One engine."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        build: Build,
        poisons: dict[tuple[int, ...], Poison],
        front: Front,
    ) -> None:
        self.clock, self.random, self.build, self.poisons = clock, random, build, poisons
        self.front = front
        self.alive = True
        self.serves = False
        self.hung_since: float | None = None
        self.stopped = False
        self.lost_messages = 0
        self.slow: tuple[float, float] | None = None  # the next step takes so many times as long, and is so over-due
        self.produced = 0
        self.record = Record("loading", 0, clock.now, 0.0)
        self.done = False
        self.beat = clock.now
        self._inbox: list[Submit | Abort] = []
        self._sequences: dict[str, Sequence] = {}  # in order of arrival
        self._fresh = True  # no step has been timed yet
        self._steps = 0
        self._since_message = 0
        self._finished: list[SequenceOutput] = []
        self._awake = False  # a turn is on its way
        self._step: list[tuple[Sequence, int]] = []
        self._delayed: list[Callable[[], None]] = []  # what was to happen while the engine was stopped
        self._load(0)

    # ---- faults ------------------------------------------------------------------------------------------------------

    def die(self, cause: str) -> None:
        if self.alive:
            self.alive = False
            self.front.died(self, cause)

    def fail(self, cause: str) -> None:
        """Die of it, or hang."""
        if cause == "hang":
            self.hang()
        else:
            self.die(cause)

    def hang(self) -> None:
        if self.hung_since is None:
            self.beat = self._beat_now()
            self.hung_since = self.clock.now

    def stop(self) -> None:
        if not self.stopped and self.alive:
            self.beat = self._beat_now()
            self.stopped = True

    def resume(self) -> None:
        if self.stopped and self.alive:
            self.stopped = False
            delayed, self._delayed = self._delayed, []
            for what in delayed:
                self._then(what)

    @property
    def healthy(self) -> bool:
        return self.alive and self.hung_since is None and not self.stopped

    # ---- what the front sees -----------------------------------------------------------------------------------------

    def reading(self) -> Reading:
        return Reading(self.record, self.done, self._beat_now())

    def receive(self, message: Submit | Abort) -> None:
        if self.alive:
            self._inbox.append(message)
            self._wake()

    def _beat_now(self) -> float:
        """An engine that waits gives a sign of life again and again; one that computes does before and after a step."""
        resting = self.record.phase in ("idle", "decoding")
        return self.clock.now if resting and self.healthy else self.beat

    # ---- life --------------------------------------------------------------------------------------------------------

    def _then(self, what: Callable[[], None]) -> None:
        """What the process does next: nothing, if it is dead, hangs or is stopped."""
        if self.stopped:
            self._delayed.append(what)
        elif self.healthy:
            what()

    def _load(self, stage: int) -> None:
        self.beat = self.clock.now
        if stage < len(self.build.load):
            self.clock.after(self.build.load[stage], self._then, lambda: self._load(stage + 1))
        elif self.build.failure is not None:
            self.fail(self.build.failure)
        else:
            self.serves = True
            self._rest("idle")
            self.front.ready(self)
            if self.build.dies_when_idle is not None:
                self.clock.after(self.build.dies_when_idle, self._then, lambda: self.fail(self.build.sickness))
            self._wake()

    def _wake(self) -> None:
        if self.serves and not self._awake:
            self._awake = True
            self.clock.after(0.0005, self._then, self._turn)

    def _rest(self, phase: Phase, decoding: tuple[str, ...] = ()) -> None:
        self.beat = self.clock.now
        if self.record.phase != phase or self.record.decoding != decoding:
            since = self._decoding_since(decoding)
            self.record = Record(phase, self._steps, self.clock.now, 0.0, (), decoding, since)
            self.done = False

    def _decoding_since(self, decoding: tuple[str, ...]) -> float:
        return min((self._sequences[name].decoding_since for name in decoding), default=0.0)

    def _turn(self) -> None:
        self._awake = False
        for message in self._inbox:
            if isinstance(message, Submit):
                request = message.request
                assert request.id not in self._sequences, f"{request.id} is with the engine twice"
                assert tuple(request.output) == answer_to(request)[0][: len(request.output)], (
                    "replayed with other tokens"
                )
                decoding = self.random.uniform(0.05, 0.5) if request.images else 0.0
                poison = self.poisons.get(tuple(request.prompt))
                sequence = Sequence(request, self.clock.now, decoding)
                if poison is not None and poison.where == "decoding":
                    self.clock.after(
                        decoding * 0.9, self._then, lambda s=sequence, p=poison: self._decode_fatally(s, p)
                    )
                self._sequences[request.id] = sequence
            else:
                for name in message.ids:
                    self._sequences.pop(name, None)
        self._inbox.clear()
        now = self.clock.now
        decoding_ids = tuple(name for name, one in self._sequences.items() if one.decoded_at > now)
        step = self._schedule()
        if not step:
            self._flush()
            if decoding_ids:
                self._rest("decoding", decoding_ids)
                self._awake = True
                until = min(self._sequences[name].decoded_at for name in decoding_ids)
                self.clock.at(min(until, now + 0.2), self._then, self._turn)
            else:
                self._rest("idle")
            return
        self._begin(step, decoding_ids)

    def _decode_fatally(self, sequence: Sequence, poison: Poison) -> None:
        if self._sequences.get(sequence.request.id) is sequence:
            if poison.cause == "hang":
                sequence.decoded_at = 1e9
            else:
                self.die(poison.cause)

    def _schedule(self) -> list[tuple[Sequence, int]]:
        room, step = self.build.budget, []
        for sequence in self._sequences.values():
            if room <= 0 or len(step) >= self.build.max_num_seqs:
                break
            if sequence.decoded_at <= self.clock.now:
                length = min(room, sequence.prompt + sequence.output - sequence.computed)
                step.append((sequence, length))
                room -= length
        return step

    def _begin(self, step: list[tuple[Sequence, int]], decoding: tuple[str, ...]) -> None:
        self._steps += 1
        self._step = step
        self._awake = True  # messages wait until the step is over
        tokens = sum(length for _, length in step)
        seconds = expected = BASE_SECONDS + TOKEN_SECONDS * tokens
        if self.slow is not None:
            seconds, expected = seconds * self.slow[0], seconds * self.slow[0] / self.slow[1]
            self.slow = None
        elif self._fresh:
            expected = 0.0
        self._fresh = False
        now = self.clock.now
        aboard = tuple(Aboard(s.request.id, length, s.computed + length, 0) for s, length in step)
        self.record = Record("step", self._steps, now, expected, aboard, decoding, self._decoding_since(decoding))
        self.done, self.beat = False, now
        if self._steps == self.build.dies_at_step:
            self.clock.after(seconds / 2, self._then, lambda: self.fail(self.build.sickness))
            return
        for sequence, length in step:
            cause = self._fatal(sequence, length)
            if cause is not None:
                self.clock.after(seconds / 2, self._then, lambda cause=cause: self.fail(cause))
                return
        self.front.stepping(self, seconds)
        self.clock.after(seconds, self._then, self._end)

    def _fatal(self, sequence: Sequence, length: int) -> str | None:
        poison = self.poisons.get(tuple(sequence.request.prompt)) if self.poisons else None
        if poison is None:
            return None
        start = sequence.computed
        samples = start + length == sequence.prompt + sequence.output
        if poison.where == "prompt" and start <= poison.index < start + length:
            return poison.cause
        if poison.where == "output" and samples and sequence.output == poison.index:
            return poison.cause
        return None

    def _end(self) -> None:
        """The step is over: its tokens are there, and are told now or some steps later."""
        for sequence, length in self._step:
            sequence.computed += length
            if sequence.computed == sequence.prompt + sequence.output:
                sequence.output += 1
                self.produced += 1
                if sequence.output == len(sequence.answer):
                    self._finished.append(self._output(sequence))
                    if self._sequences.get(sequence.request.id) is sequence:
                        del self._sequences[sequence.request.id]
        self._since_message += 1
        if self._since_message >= self.build.steps_per_message:
            self._flush()
        self.done, self.beat = True, self.clock.now
        self._awake = False
        self._wake()

    def _flush(self) -> None:
        outputs, self._finished, self._since_message = self._finished, [], 0
        outputs += [self._output(one) for one in self._sequences.values() if one.output > one.unsent]
        if outputs:
            self.front.tell(self, outputs)

    def _output(self, sequence: Sequence) -> SequenceOutput:
        at, sequence.unsent = sequence.unsent, sequence.output
        return SequenceOutput(
            id=sequence.request.id,
            tokens=list(sequence.answer[at : sequence.output]),
            at=at,
            attempt=sequence.request.attempt,
            finish=sequence.finish if sequence.output == len(sequence.answer) else None,
        )
