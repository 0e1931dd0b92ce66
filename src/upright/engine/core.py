"""The engine without its process: requests in, steps, outputs out. Tests drive it as the process does."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from upright.engine.block_cache import BlockCache
from upright.engine.encoder_cache import EncoderCache
from upright.engine.image_queue import ImageQueue
from upright.engine.not_finite import not_finite_fault
from upright.engine.pace import Pace
from upright.engine.recorder import Recorder
from upright.engine.runner import Launched, Runner
from upright.engine.scheduler import Scheduler, SchedulerLimits, without
from upright.engine.sequence import Sequence
from upright.engine.step import Completed, Step
from upright.engine.work import StepWork
from upright.messages import EngineStats, PlainTokens, Request, RequestFault, SequenceOutput, TokenLogprobs

if TYPE_CHECKING:
    from upright.engine.faults import Faults


class Outputs(NamedTuple):
    """What a step added, as `StepDone` carries it."""

    several: list[SequenceOutput]
    plain: PlainTokens | None

    def each(self) -> list[SequenceOutput]:
        """All of it in the long form."""
        return self.several + self.plain.outputs() if self.plain is not None else self.several


NOTHING = Outputs([], None)


class _InFlight(NamedTuple):
    """A step that was launched and not collected."""

    step: Step
    launched: Launched
    work: int  # FLOP
    expected: float  # seconds
    since: float  # when it was launched, CLOCK_MONOTONIC in seconds


class EngineCore:
    """Scheduler and runner together. One thread calls it; images are decoded in threads of its own.

    `overlap`: launch a step before the one before it is collected.
    """

    def __init__(
        self, runner: Runner, limits: SchedulerLimits, encoder_cache_tokens: int, overlap: bool = False
    ) -> None:
        cache, vision = runner.cache, runner.model.config.vision
        self.runner = runner
        self.scheduler = Scheduler(
            limits, BlockCache(runner.blocks, cache.block_size), EncoderCache(encoder_cache_tokens)
        )
        self.pace = Pace()
        self.recorder = Recorder()  # both are replaced once the engine serves: its first steps are part of loading
        self.faults: Faults | None = None
        self.rehearses = False  # steps of start-up go on to their end, finite or not: they are there to be measured
        self._work = StepWork(runner.model.config)
        self._images = ImageQueue(runner.images.decoder, runner.images.pixels) if vision is not None else None
        self._refused: deque[SequenceOutput] = deque()
        self._not_finite = not_finite_fault(runner.model.dtype)
        self._overlap = overlap
        self._in_flight: _InFlight | None = None  # the newest step, while it is not collected
        self._collected = 0.0  # when a step was last collected

    @property
    def has_work(self) -> bool:
        """True while a step may do something or is in flight, or an image is being decoded."""
        return self.scheduler.has_work or self._in_flight is not None or bool(self._images) or bool(self._refused)

    @property
    def only_decoding_images(self) -> bool:
        return bool(self._images) and not self.scheduler.has_work and self._in_flight is None

    def submit(self, request: Request) -> None:
        """Take a request. One whose images cannot be decoded finishes with a fault at a later step."""
        if not request.images:
            self._add(request)
        elif self._images is None:
            self._refused.append(_refusal(request, RequestFault("images_not_supported", "this model reads no images")))
        else:
            self._images.add(request)

    def abort(self, request_id: str) -> None:
        """Forget a request, wherever it is; unknown ids are those that have just finished."""
        if self._images is not None and self._images.discard(request_id):
            return
        sequence = self.scheduler.abort(request_id)
        if sequence is not None:
            self.runner.forget(sequence)

    def step(self) -> Outputs:
        """Launch the next step, if there is one, and collect the one before it; say what that added.

        Without `overlap` a step is collected as soon as it is launched. With it the device has its next step when it
        ends one, and the host's work falls into the time of the device's.
        """
        told, added = self._take_decoded(), NOTHING
        if self._in_flight is not None and self.scheduler.awaits_output:
            added = self._collect(self._in_flight)
        self.scheduler.encoded(self.runner.finished_encodings())
        before, step = self._in_flight, self.scheduler.schedule()
        if step:
            launched = self._launch(step, before)
            if before is not None:
                added = self._collect(before)
            if not self._overlap:
                added = self._collect(launched)
        elif before is not None:
            self.recorder.go_on(*self._under_way())
            self._start_decoding()
            added = self._collect(before)
        else:
            decoding, since = self._decoding
            self.recorder.rest("decoding" if decoding else "idle", decoding, since)
            self._start_decoding()
        return Outputs(told + added.several, added.plain) if told else added

    def stats(self) -> EngineStats:
        return self.scheduler.stats()

    def close(self) -> None:
        if self._images is not None:
            self._images.close()

    @property
    def _decoding(self) -> tuple[tuple[str, ...], float]:
        """Requests whose images are being decoded, and since when."""
        return (self._images.decoding, self._images.decoding_since) if self._images else ((), 0.0)

    def _under_way(self) -> tuple[tuple[str, ...], float]:
        """Requests whose images are decoded, or encoded, beside the steps, which they are not in; and since when."""
        decoding, since = self._decoding
        on_way = self.runner.images.on_way
        return (decoding + on_way, since or time.monotonic()) if on_way else (decoding, since)

    def _launch(self, step: Step, before: _InFlight | None) -> _InFlight:
        """NOTE: the black box has it before anything can die of it. Where the device still runs the step before, an
        error of that one shows while this one is the newest: the record is of both.
        """
        work = self._work.of(step)
        expected = self.pace.expected(work)
        launching = time.monotonic()
        if before is None:
            self.recorder.begin_step(step, expected, *self._under_way())
        else:
            self.recorder.begin_step(step, before.expected + expected, *self._under_way(), before.step)
        self._start_decoding()
        if self.faults is not None:
            self.faults.in_step(step)
        launched = self.runner.launch(step, self.scheduler.encoder.take_evicted())
        self._in_flight = _InFlight(step, launched, work, expected, launching)
        return self._in_flight

    def _collect(self, flying: _InFlight) -> Outputs:
        """Wait for a step's tokens, and take them."""
        result = self.runner.collect(flying.launched)
        now = time.monotonic()
        # With another step before it on the device, its time began when that one's ended.
        self.pace.learn(flying.work, now - max(flying.since, self._collected))
        self._collected = now
        tokens = [max(token, 0) for token in result.tokens] if self.rehearses else result.tokens
        completed = self.scheduler.complete(flying.step, tokens)
        for index in completed.ends:
            self.runner.forget(completed.sequences[index])
        if self._in_flight is flying:
            self._in_flight = None
            self.recorder.end_step()
        else:
            self.recorder.beat()
        return _outputs(completed, result.logprobs, self._not_finite)

    def _take_decoded(self) -> list[SequenceOutput]:
        """Move requests whose images are decoded into the scheduler; return the faults of those that never will be."""
        outputs = list(self._refused)
        self._refused.clear()
        if self._images is not None:
            for request, fault in self._images.collect(self.scheduler.encoder):
                if fault is not None:
                    outputs.append(_refusal(request, fault))
                else:
                    self._add(request)
        return outputs

    def _start_decoding(self) -> None:
        """NOTE: only after the black box has the names."""
        if self._images is not None:
            self._images.start()

    def _add(self, request: Request) -> None:
        sequence = Sequence(request, self.runner.cache.block_size)
        sequence.awaits_output = self._overlap and self.runner.needs_output(sequence)
        self.scheduler.add(sequence)


def _outputs(completed: Completed, logprobs: list[TokenLogprobs | None], not_finite: RequestFault) -> Outputs:
    """What is to be told: in few words wherever there is only a token to tell.

    `not_finite` is the fault of a sequence that has ended with an error.
    """
    sequences, tokens, at, rows, ends, firsts = completed
    more = {*ends, *firsts}  # a first token comes with what was found in the cache
    if logprobs.count(None) < len(logprobs):
        more.update(index for index, row in enumerate(rows) if logprobs[row] is not None)
    several = []
    for index in sorted(more):
        sequence, logprob = sequences[index], logprobs[rows[index]]
        if ends.get(index) == "error":
            several.append(_failure(sequence.id, len(sequence.output), sequence.attempt, not_finite))
            continue
        several.append(
            SequenceOutput(
                id=sequence.id,
                tokens=[tokens[index]],
                at=at[index],
                attempt=sequence.attempt,
                logprobs=[logprob] if logprob is not None else [],
                finish=ends.get(index),
                cached_tokens=sequence.cached_tokens if index in firsts else None,
            )
        )
    if more:
        told = sorted(more)
        sequences, tokens, at = without(sequences, told), without(tokens, told), without(at, told)
    if not sequences:
        return Outputs(several, None)
    return Outputs(several, PlainTokens([one.id for one in sequences], at, [one.attempt for one in sequences], tokens))


def _refusal(request: Request, fault: RequestFault) -> SequenceOutput:
    return _failure(request.id, len(request.output), request.attempt, fault)


def _failure(name: str, at: int, attempt: int, fault: RequestFault) -> SequenceOutput:
    return SequenceOutput(id=name, tokens=[], at=at, attempt=attempt, finish="error", fault=fault)
