"""The engine without its process: requests in, steps, outputs out. Tests drive it as the process does."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from upright.engine.block_cache import BlockCache
from upright.engine.encoder_cache import EncoderCache
from upright.engine.image_queue import ImageQueue, Pixels
from upright.engine.images import ImageFault
from upright.engine.pace import Pace
from upright.engine.recorder import Recorder
from upright.engine.runner import Runner
from upright.engine.scheduler import Sampled, Scheduler, SchedulerLimits, Step
from upright.engine.sequence import Sequence
from upright.engine.work import StepWork
from upright.messages import EngineStats, Request, RequestFault, SequenceOutput, TokenLogprobs

if TYPE_CHECKING:
    from upright.engine.faults import Faults


class EngineCore:
    """Scheduler and runner together. One thread calls it; images are decoded in threads of its own."""

    def __init__(self, runner: Runner, limits: SchedulerLimits, encoder_cache_tokens: int) -> None:
        cache, vision = runner.cache, runner.model.config.vision
        self.runner = runner
        self.scheduler = Scheduler(
            limits, BlockCache(cache.blocks, cache.block_size), EncoderCache(encoder_cache_tokens)
        )
        self.pace = Pace()
        self.recorder = Recorder()  # both are replaced once the engine serves: its first steps are part of loading
        self.faults: Faults | None = None
        self._work = StepWork(runner.model.config)
        self._images = ImageQueue(vision.patch_size) if vision is not None else None
        self._refused: deque[SequenceOutput] = deque()

    @property
    def has_work(self) -> bool:
        """True while a step may do something, or an image is being decoded."""
        return self.scheduler.has_work or bool(self._images) or bool(self._refused)

    @property
    def only_decoding_images(self) -> bool:
        return bool(self._images) and not self.scheduler.has_work

    def submit(self, request: Request) -> None:
        """Take a request. One whose images cannot be decoded finishes with a fault at a later step."""
        if not request.images:
            self._add(request, ())
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

    def step(self) -> list[SequenceOutput]:
        """Compute one step, if there is one, and say what it added."""
        outputs = self._take_decoded()
        step = self.scheduler.schedule()
        decoding, since = (self._images.decoding, self._images.decoding_since) if self._images else ((), 0.0)
        if not step.chunks and not step.encodings:
            self.recorder.rest("decoding" if decoding else "idle", decoding, since)
            self._start_decoding()
            return outputs
        work = self._work.of(step)
        began = time.monotonic()
        self.recorder.begin_step(step, self.pace.expected(work), decoding, since)
        self._start_decoding()
        if self.faults is not None:
            self.faults.in_step(step)
        outputs += self._compute(step)
        self.pace.learn(work, time.monotonic() - began)
        self.recorder.end_step()
        return outputs

    def stats(self) -> EngineStats:
        return self.scheduler.stats()

    def close(self) -> None:
        if self._images is not None:
            self._images.close()

    def _compute(self, step: Step) -> list[SequenceOutput]:
        result = self.runner.collect(self.runner.launch(step, self.scheduler.encoder.take_evicted()))
        outputs = []
        for sampled in self.scheduler.complete(step, result.tokens):
            outputs.append(_output(sampled, result.logprobs[sampled.index]))
            if sampled.finish is not None:
                self.runner.forget(sampled.sequence)
        return outputs

    def _take_decoded(self) -> list[SequenceOutput]:
        """Move requests whose images are decoded into the scheduler; return the faults of those that never will be."""
        outputs = list(self._refused)
        self._refused.clear()
        if self._images is not None:
            for request, decoded in self._images.collect():
                if isinstance(decoded, ImageFault):
                    outputs.append(_refusal(request, decoded.fault))
                else:
                    self._add(request, decoded)
        return outputs

    def _start_decoding(self) -> None:
        """NOTE: only after the black box has the names."""
        if self._images is not None:
            self._images.start()

    def _add(self, request: Request, pixels: Pixels) -> None:
        self.scheduler.add(Sequence(request, self.runner.cache.block_size, pixels))


def _output(sampled: Sampled, logprobs: TokenLogprobs | None) -> SequenceOutput:
    sequence = sampled.sequence
    request, at = sequence.request, len(sequence.output) - 1
    return SequenceOutput(
        id=request.id,
        tokens=[sampled.token],
        at=at,
        attempt=request.attempt,
        logprobs=[logprobs] if logprobs is not None else [],
        finish=sampled.finish,
        cached_tokens=sequence.cached_tokens if at == len(request.output) else None,
    )


def _refusal(request: Request, fault: RequestFault) -> SequenceOutput:
    return SequenceOutput(
        id=request.id, tokens=[], at=len(request.output), attempt=request.attempt, finish="error", fault=fault
    )
