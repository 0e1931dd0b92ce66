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
from upright.engine.sampler import Draw, SampleRow, sample
from upright.engine.scheduler import Chunk, Step
from upright.engine.sequence import Sequence
from upright.kernels.attention.batch import KVCache, make_batch
from upright.messages import TokenLogprobs
from upright.models.model import Model
from upright.models.mrope import ImageSpan, prompt_positions


@dataclass(frozen=True)
class StepResult:
    """One entry for each chunk that sampled, in order."""

    tokens: list[int]
    logprobs: list[TokenLogprobs | None]


@dataclass(frozen=True)
class Launched:
    """A step that the device has been given; `collect` turns it into a StepResult."""

    draw: Draw | None  # None: no chunk samples


class Runner:
    """Executes steps of a model on its device. `slots`: sequences that run at the same time, at most."""

    def __init__(self, model: Model, cache: KVCache, slots: int) -> None:
        self.model = model
        self.cache = cache
        self.images = ImageEncoder(model)
        self._drawn = torch.zeros(slots + 1, dtype=torch.int64, device=model.device)  # last token of each slot
        self._positions: dict[str, tuple[Tensor, int]] = {}  # sequence id → prompt positions int64 [3, P], delta

    @torch.inference_mode()
    def launch(self, step: Step, evicted: list[bytes]) -> Launched:
        """Queue a step. `evicted` names the vision features whose place the step gives to others."""
        self.images.drop(evicted)
        if step.encodings:
            self.images.encode(step.encodings)
        if not step.chunks:
            return Launched(None)
        hidden = self._forward(step.chunks)
        ends = _sampled_rows(step.chunks)
        sampling = [chunk for chunk in step.chunks if chunk.samples]
        if not sampling:
            return Launched(None)
        logits = self.model.decoder.logits(hidden if len(ends) == len(hidden) else hidden[ends])
        drawn = sample(logits, [SampleRow(chunk.sequence.request.params, _output_before(chunk)) for chunk in sampling])
        self._drawn[[chunk.sequence.slot for chunk in sampling]] = drawn.tokens
        return Launched(drawn)

    def collect(self, launched: Launched) -> StepResult:
        """Wait for a step's tokens. Steps are collected in the order in which they were launched."""
        if launched.draw is None:
            # Without tokens to fetch nothing waits for a GPU, and its time and its errors would fall to a later step.
            if self.model.device.type == "cuda":
                torch.cuda.synchronize(self.model.device)
            return StepResult([], [])
        return StepResult(launched.draw.tokens.tolist(), launched.draw.logprobs)

    def needs_output(self, sequence: Sequence) -> bool:
        """The sequence's next draw needs every token before it on the host, so no step may be in flight then."""
        params = sequence.request.params
        return bool(
            params.repetition_penalty != 1.0
            or params.presence_penalty
            or params.frequency_penalty
            or params.no_repeat_ngram_size
        )

    def finished_encodings(self) -> list[bytes]:
        """Keys of images whose features have become ready since this was last asked."""
        return self.images.finished()

    def forget(self, sequence: Sequence) -> None:
        """The sequence has left the engine."""
        self._positions.pop(sequence.id, None)

    # ---- the decoder -------------------------------------------------------------------------------------------------

    def _forward(self, chunks: tuple[Chunk, ...]) -> Tensor:
        """Final hidden states [T, hidden] of the chunks' tokens, one chunk after the other."""
        device = self.model.device
        batch = make_batch(
            [chunk.sequence.blocks for chunk in chunks],
            [chunk.length for chunk in chunks],
            [chunk.start + chunk.length for chunk in chunks],
            self.cache.block_size,
            device,
        )
        decoder = self.model.decoder
        hidden = decoder.embed(self._token_ids(chunks))
        self.images.place(hidden, chunks)
        return decoder.forward(hidden, self._chunk_positions(chunks).to(device), self.cache, batch)

    def _token_ids(self, chunks: tuple[Chunk, ...]) -> Tensor:
        """int64 [T] on the device. A chunk's last token may be one that only its slot knows yet."""
        ids: list[int] = []
        rows, slots = [], []
        for chunk in chunks:
            sequence, end = chunk.sequence, chunk.start + chunk.length
            unknown = end - len(sequence.request.prompt) - len(sequence.output)
            if unknown > 0:
                ids += sequence.tokens(chunk.start, end - 1)
                rows.append(len(ids))
                slots.append(sequence.slot)
                ids.append(0)
            else:
                ids += sequence.tokens(chunk.start, end)
        tensor = torch.tensor(ids, dtype=torch.int64, device=self.model.device)
        if rows:
            tensor[rows] = self._drawn[slots]
        return tensor

    def _chunk_positions(self, chunks: tuple[Chunk, ...]) -> Tensor:
        """Positions int64 [3, T] on the CPU."""
        if not any(chunk.sequence.request.images for chunk in chunks):
            flat = [at for chunk in chunks for at in range(chunk.start, chunk.start + chunk.length)]
            return torch.tensor(flat, dtype=torch.int64).expand(3, -1)
        parts = []
        for chunk in chunks:
            prompt, delta = self._prompt_positions(chunk.sequence)
            stop = chunk.start + chunk.length
            parts.append(prompt[:, chunk.start : stop])
            if stop > prompt.shape[1]:
                after = torch.arange(max(chunk.start, prompt.shape[1]), stop) + delta
                parts.append(after.expand(3, -1))
        return torch.cat(parts, dim=1)

    def _prompt_positions(self, sequence: Sequence) -> tuple[Tensor, int]:
        known = self._positions.get(sequence.id)
        if known is None:
            vision = self.model.config.vision
            merge = vision.merge_size if vision is not None else 1
            spans = [
                ImageSpan(image.start, image.grid_height // merge, image.grid_width // merge)
                for image in sequence.request.images
            ]
            known = prompt_positions(len(sequence.request.prompt), spans)
            self._positions[sequence.id] = known
        return known


def _output_before(chunk: Chunk) -> list[int]:
    """What the sequence has drawn before this chunk's draw. Tokens that are still in flight stand as zeros: only their
    number matters to a draw that may be launched before they are known (`needs_output`).
    """
    sequence = chunk.sequence
    position = chunk.start + chunk.length - len(sequence.request.prompt)
    if len(sequence.output) == position:
        return sequence.output
    return sequence.output[:position] + [0] * (position - len(sequence.output))


def _sampled_rows(chunks: tuple[Chunk, ...]) -> list[int]:
    """The last row of each chunk that samples."""
    rows, end = [], 0
    for chunk in chunks:
        end += chunk.length
        if chunk.samples:
            rows.append(end - 1)
    return rows
