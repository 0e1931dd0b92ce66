"""One step on the device: images through the vision tower, tokens through the decoder, then the sampler.

The runner holds what the scheduler only counts: the KV cache, the vision features, the positions of prompts, and the
last token that each slot has drawn. `launch` queues a step and `collect` waits for its tokens, so that the next one can
be launched in between: a token that the host does not know yet is read from its slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from upright.engine.image_encoder import ImageEncoder
from upright.engine.overflow import OverflowWatch
from upright.engine.prompts import Prompts
from upright.engine.sampler import SampleRow, sample
from upright.engine.sequence import Sequence
from upright.engine.step import Chunk, Step
from upright.kernels.attention.batch import KVCache, make_batch
from upright.kernels.attention.last_rows import last_rows
from upright.kernels.transfer import sent
from upright.messages import SamplingParams, TokenLogprobs
from upright.models.model import Model


@dataclass(frozen=True)
class StepResult:
    """One entry for each chunk that sampled, in order."""

    tokens: list[int]
    logprobs: list[TokenLogprobs | None]


@dataclass(frozen=True)
class Launched:
    """A step that the device has been given; `collect` turns it into a StepResult."""

    tokens: Tensor  # int64 [N] on the host, of the chunks that sample; on a GPU they are there once `done` is
    logprobs: list[TokenLogprobs | None]
    done: torch.cuda.Event | None = None
    overflow: Tensor | None = None  # as `tokens`: the decoder's flags after the step, where they are watched


NOTHING_DRAWN = torch.empty(0, dtype=torch.int64)


class Runner:
    """Executes steps of a model. `slots`: sequences that run at the same time, at most."""

    def __init__(self, model: Model, cache: KVCache, slots: int) -> None:
        vision = model.config.vision
        self.model = model
        self.cache = cache
        self.images = ImageEncoder(model)
        self.prompts = Prompts(vision.merge_size if vision is not None else 1)
        self.blocks = cache.blocks  # that sequences may own
        self.drawn = torch.zeros(slots + 1, dtype=torch.int64, device=model.device)  # last token drawn in each slot
        self.watch: OverflowWatch | None = None  # float16's; start-up sets it before a step draws for anybody

    @torch.inference_mode()
    def launch(self, step: Step, evicted: list[bytes]) -> Launched:
        """Queue a step. `evicted` names the vision features whose place the step gives to others."""
        self.images.drop(evicted)
        self.images.encode(step.encodings)
        logits = self._logits(step.chunks)
        if logits is None:
            return Launched(NOTHING_DRAWN, [], overflow=self._flags())
        sampling = step.sampling
        drawn = sample(logits, sample_rows(sampling))
        self.drawn[[chunk.sequence.slot for chunk in sampling]] = embeddable(drawn.tokens)
        return Launched(drawn.tokens, drawn.logprobs, overflow=self._flags())

    def collect(self, launched: Launched) -> StepResult:
        """Wait for a step to end. Steps are collected in the order in which they were launched.

        Raises: Float16Overflow when the step, or one before it, has made of its numbers what no token may come of.
        """
        if launched.done is not None:
            launched.done.synchronize()
        if launched.overflow is not None and self.watch is not None:
            self.watch.check(launched.overflow)
        return StepResult(launched.tokens.tolist(), launched.logprobs)

    def needs_output(self, sequence: Sequence) -> bool:
        """The sequence's next draw needs every token before it on the host, so no step may be in flight then."""
        return counts_output(sequence.request.params)

    def finished_encodings(self) -> list[bytes]:
        """Keys of images whose features have become ready since this was last asked."""
        return self.images.finished()

    def idle(self) -> bool:
        """Do a little of what can be done while no request is there; False when there is nothing."""
        return False

    def graph_bytes(self) -> int:
        """Device memory that CUDA graphs of all sizes take, by capturing some; for a runner that serves nobody."""
        return 0

    def forget(self, sequence: Sequence) -> None:
        """The sequence has left the engine."""
        self.prompts.forget(sequence)
        self.images.forget(sequence)

    def _flags(self) -> Tensor | None:
        return self.watch.send() if self.watch is not None else None

    def _logits(self, chunks: tuple[Chunk, ...]) -> Tensor | None:
        """Logits [N, vocabulary] after the last tokens of the chunks that sample; None if there is none."""
        if not chunks:
            return None
        states = self._forward(chunks)
        return self.model.decoder.logits(states) if states.shape[0] else None

    def _forward(self, chunks: tuple[Chunk, ...]) -> Tensor:
        """Final hidden states [N, hidden] after the last tokens of the N chunks that sample."""
        device, decoder = self.model.device, self.model.decoder
        batch = make_batch(
            [chunk.sequence.blocks for chunk in chunks],
            [chunk.length for chunk in chunks],
            [chunk.start + chunk.length for chunk in chunks],
            self.cache.block_size,
            device,
        )
        inputs = self.prompts.inputs(chunks)
        ids = sent(torch.from_numpy(inputs.ids), device)
        if inputs.unknown:
            rows, slots = sent(torch.tensor(inputs.unknown, dtype=torch.int64).t().contiguous(), device)
            ids[rows] = self.drawn[slots]
        hidden = decoder.embed(ids)
        self.images.place(hidden, chunks)
        sampling = [index for index, chunk in enumerate(chunks) if chunk.samples]
        wanted = last_rows(batch, sampling) if len(sampling) < len(hidden) else None
        return decoder.forward(hidden, sent(torch.from_numpy(inputs.positions), device), self.cache, batch, wanted)


def embeddable(tokens: Tensor) -> Tensor:
    """What the next step may read, which is launched before anybody has looked whether there was a token."""
    return tokens.clamp(min=0)


def counts_output(params: SamplingParams) -> bool:
    """Whether draws depend on which tokens came before, and not only on how many."""
    return bool(
        params.repetition_penalty != 1.0
        or params.presence_penalty
        or params.frequency_penalty
        or params.no_repeat_ngram_size
    )


def sample_rows(chunks: list[Chunk]) -> list[SampleRow]:
    """What the sampler needs of chunks that sample."""
    return [SampleRow(chunk.sequence.request.params, _output_before(chunk)) for chunk in chunks]


def _output_before(chunk: Chunk) -> list[int]:
    """What the sequence has drawn before this chunk's draw. Tokens that are still in flight stand as zeros: only their
    number matters to a draw that may be launched before they are known (`needs_output`).
    """
    sequence = chunk.sequence
    position = chunk.start + chunk.length - len(sequence.request.prompt)
    if len(sequence.output) == position:
        return sequence.output
    return sequence.output[:position] + [0] * (position - len(sequence.output))
