"""One step on the device: images through the vision tower, tokens through the decoder, then the sampler.

The runner holds what the scheduler only counts: the KV cache, the vision features and the positions of prompts. A step
reaches it as a value and leaves as sampled tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from upright.engine.sampler import SampleRow, sample
from upright.engine.scheduler import Chunk, Encoding, Step
from upright.engine.sequence import Sequence, image_end
from upright.kernels.attention.batch import KVCache, make_batch
from upright.messages import TokenLogprobs
from upright.models.image_grid import ImageGrid
from upright.models.image_pixels import image_patches
from upright.models.model import Model
from upright.models.mrope import ImageSpan, prompt_positions


@dataclass(frozen=True)
class StepResult:
    """One entry for each chunk that sampled, in order."""

    tokens: list[int]
    logprobs: list[TokenLogprobs | None]


class Runner:
    """Executes steps of a model on its device."""

    def __init__(self, model: Model, cache: KVCache) -> None:
        self.model = model
        self.cache = cache
        self._features: dict[bytes, Tensor] = {}  # image key → [tokens, hidden]
        self._positions: dict[str, tuple[Tensor, int]] = {}  # sequence id → prompt positions int64 [3, P], delta

    @torch.inference_mode()
    def execute(self, step: Step, evicted: list[bytes]) -> StepResult:
        """Run a step to its end. `evicted` names the vision features whose place the step gives to others."""
        for key in evicted:
            self._features.pop(key, None)
        if step.encodings:
            self._encode(step.encodings)
        if not step.chunks:
            return self._nothing_sampled()
        hidden = self._forward(step.chunks)
        ends = _sampled_rows(step.chunks)
        sampling = [chunk.sequence for chunk in step.chunks if chunk.samples]
        if not sampling:
            return self._nothing_sampled()
        logits = self.model.decoder.logits(hidden if len(ends) == len(hidden) else hidden[ends])
        drawn = sample(logits, [SampleRow(sequence.request.params, sequence.output) for sequence in sampling])
        return StepResult(drawn.tokens.tolist(), drawn.logprobs)

    def forget(self, sequence: Sequence) -> None:
        """The sequence has left the engine."""
        self._positions.pop(sequence.id, None)

    def _nothing_sampled(self) -> StepResult:
        """Without tokens to fetch nothing waits for a GPU, and its time and its errors would fall to a later step."""
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        return StepResult([], [])

    # ---- the decoder -------------------------------------------------------------------------------------------------

    def _forward(self, chunks: tuple[Chunk, ...]) -> Tensor:
        """Final hidden states [T, hidden] of the chunks' tokens, one chunk after the other."""
        device = self.model.device
        ids: list[int] = []
        for chunk in chunks:
            ids += chunk.sequence.tokens(chunk.start, chunk.start + chunk.length)
        batch = make_batch(
            [chunk.sequence.blocks for chunk in chunks],
            [chunk.length for chunk in chunks],
            [chunk.start + chunk.length for chunk in chunks],
            self.cache.block_size,
            device,
        )
        decoder = self.model.decoder
        hidden = decoder.embed(torch.tensor(ids, dtype=torch.int64, device=device))
        self._place_features(hidden, chunks)
        return decoder.forward(hidden, self._chunk_positions(chunks).to(device), self.cache, batch)

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

    # ---- images ------------------------------------------------------------------------------------------------------

    def _encode(self, encodings: tuple[Encoding, ...]) -> None:
        """All images of the step in one pass through the tower, packed."""
        config, tower = self.model.config, self.model.vision
        if tower is None or config.vision is None or config.image is None:
            raise ValueError("a request with images reached a model without a vision tower")
        images = [encoding.sequence.request.images[encoding.image] for encoding in encodings]
        patch = config.vision.patch_size
        patches = [
            image_patches(
                encoding.sequence.pixels[encoding.image].to(self.model.device),
                ImageGrid(image.grid_height * patch, image.grid_width * patch, image.grid_height, image.grid_width,
                          image.tokens),
                config.vision,
                config.image,
            )
            for encoding, image in zip(encodings, images, strict=True)
        ]  # fmt: skip
        packed = patches[0] if len(patches) == 1 else torch.cat(patches)
        features = tower.encode(packed, [(image.grid_height, image.grid_width) for image in images])
        # Each image owns its features: a view would keep the whole pass alive until its last image is evicted.
        for image, part in zip(images, torch.split(features, [image.tokens for image in images]), strict=True):
            self._features[image.key] = part.clone() if len(images) > 1 else part

    def _place_features(self, hidden: Tensor, chunks: tuple[Chunk, ...]) -> None:
        """Overwrite the embeddings of placeholder tokens in `hidden` [T, hidden] with the images' features."""
        row = 0
        for chunk in chunks:
            stop = chunk.start + chunk.length
            for index in chunk.sequence.images_between(chunk.start, stop):
                image = chunk.sequence.request.images[index]
                first, last = max(chunk.start, image.start), min(stop, image_end(image))
                target = hidden[row + first - chunk.start : row + last - chunk.start]
                target.copy_(self._features[image.key][first - image.start : last - image.start])
            row += chunk.length


def _sampled_rows(chunks: tuple[Chunk, ...]) -> list[int]:
    """The last row of each chunk that samples."""
    rows, end = [], 0
    for chunk in chunks:
        end += chunk.length
        if chunk.samples:
            rows.append(end - 1)
    return rows
