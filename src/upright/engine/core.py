"""The engine without its process: requests in, steps, outputs out. Tests drive it as the process does."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from upright.engine.block_cache import BlockCache
from upright.engine.encoder_cache import EncoderCache
from upright.engine.images import ImageFault, decode_image
from upright.engine.runner import Runner
from upright.engine.scheduler import Scheduler, SchedulerLimits
from upright.engine.sequence import Sequence
from upright.messages import EngineStats, Request, RequestFault, SequenceOutput

DECODING_THREADS = 2  # images decoded at the same time; each may take a few hundred MB while it lasts


class EngineCore:
    """Scheduler and runner together. One thread calls it; images are decoded in threads of its own."""

    def __init__(self, runner: Runner, limits: SchedulerLimits, encoder_cache_tokens: int) -> None:
        cache = runner.cache
        self.runner = runner
        self.scheduler = Scheduler(
            limits, BlockCache(cache.blocks, cache.block_size), EncoderCache(encoder_cache_tokens)
        )
        self._decoder = ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="image")
        self._decoding: dict[str, tuple[Request, Future[tuple[Tensor, ...]]]] = {}
        self._faults: deque[SequenceOutput] = deque()

    @property
    def has_work(self) -> bool:
        """True while a step may do something, or an image is being decoded."""
        return self.scheduler.has_work or bool(self._decoding) or bool(self._faults)

    @property
    def only_decoding_images(self) -> bool:
        return bool(self._decoding) and not self.scheduler.has_work

    def submit(self, request: Request) -> None:
        """Take a request. One whose images cannot be decoded finishes with a fault at a later step."""
        if not request.images:
            self._add(request, ())
            return
        vision = self.runner.model.config.vision
        if vision is None:
            fault = RequestFault("images_not_supported", "this model reads no images")
            self._faults.append(SequenceOutput(id=request.id, tokens=[], finish="error", fault=fault))
            return
        patch_size = vision.patch_size

        def decode() -> tuple[Tensor, ...]:
            return tuple(decode_image(image, n, patch_size) for n, image in enumerate(request.images, 1))

        self._decoding[request.id] = (request, self._decoder.submit(decode))

    def abort(self, request_id: str) -> None:
        """Forget a request, wherever it is; unknown ids are those that have just finished."""
        decoding = self._decoding.pop(request_id, None)
        if decoding is not None:
            decoding[1].cancel()
            return
        sequence = self.scheduler.abort(request_id)
        if sequence is not None:
            self.runner.forget(sequence)

    def step(self) -> list[SequenceOutput]:
        """Compute one step, if there is one, and say what it added."""
        outputs = self._collect_decoded()
        step = self.scheduler.schedule()
        if not step.chunks and not step.encodings:
            return outputs
        result = self.runner.execute(step, self.scheduler.encoder.take_evicted())
        for sampled in self.scheduler.complete(step, result.tokens):
            sequence, token_logprobs = sampled.sequence, result.logprobs[sampled.index]
            first = len(sequence.output) == len(sequence.request.output) + 1
            outputs.append(
                SequenceOutput(
                    id=sequence.id,
                    tokens=[sampled.token],
                    logprobs=[token_logprobs] if token_logprobs is not None else [],
                    finish=sampled.finish,
                    cached_tokens=sequence.cached_tokens if first else None,
                )
            )
            if sampled.finish is not None:
                self.runner.forget(sequence)
        return outputs

    def stats(self) -> EngineStats:
        return self.scheduler.stats()

    def close(self) -> None:
        self._decoder.shutdown(wait=False, cancel_futures=True)

    def _collect_decoded(self) -> list[SequenceOutput]:
        """Move requests whose images are decoded into the scheduler; return the faults of those that never will be."""
        outputs = list(self._faults)
        self._faults.clear()
        for request_id, (request, future) in list(self._decoding.items()):
            if future.done():
                del self._decoding[request_id]
                try:
                    self._add(request, future.result())
                except ImageFault as error:
                    outputs.append(SequenceOutput(id=request_id, tokens=[], finish="error", fault=error.fault))
        return outputs

    def _add(self, request: Request, pixels: tuple[Tensor, ...]) -> None:
        self.scheduler.add(Sequence(request, self.runner.cache.block_size, pixels))
