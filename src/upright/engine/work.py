"""The work in a step, in FLOP, from the model's shape: what its time is expected by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upright.models.model_config import ModelConfig
from upright.models.work import image_work, layer_weights, skipped_weights

if TYPE_CHECKING:
    from upright.engine.step import Step


class StepWork:
    """Counts matrix products and attention; what else a step does is small beside them, or bound by the same memory."""

    def __init__(self, config: ModelConfig) -> None:
        decoder = config.decoder
        self._vision = config.vision
        self._token = 2 * layer_weights(decoder) * decoder.layers
        self._skipped = 2 * skipped_weights(decoder)
        # A query times a key, and a weight times a value, make 4 for each value of a head.
        self._half_pair = 2 * decoder.heads * decoder.head_size * decoder.layers
        self._row = 2 * decoder.hidden_size * decoder.vocab_size
        self._last = 0  # FLOP of the last step

    def of(self, step: Step) -> int:
        """FLOP of the step: its images through the tower, its tokens through the decoder, its rows to logits.

        Steps come in the order in which they are handed out.
        """
        if step.steady and self._last and not step.encodings:
            self._last += 2 * step.chunk_count * self._half_pair  # each token sees one more
            return self._last
        tokens, half_pairs = _tokens_and_half_pairs(step)
        rows = len(step.drawing)
        flop = self._last = (
            tokens * self._token - (tokens - rows) * self._skipped + half_pairs * self._half_pair + rows * self._row
        )
        if self._vision is not None:
            for encoding in step.encodings:
                image = encoding.sequence.request.images[encoding.image]
                flop += image_work(self._vision, image.grid_height * image.grid_width)
        return flop


def _tokens_and_half_pairs(step: Step) -> tuple[int, int]:
    """Tokens, and twice the pairs of a token and one that it sees: itself and those before it."""
    if step.decodes is not None:
        tokens = len(step.drawing)
        return tokens, 2 * (int(step.decodes.starts.sum(dtype=np.int64)) + tokens)
    # Most chunks are one token; the others are put right after.
    tokens = len(step.listed)
    half_pairs = 2 * (sum([chunk.start for chunk in step.listed]) + tokens)
    for chunk in [chunk for chunk in step.listed if chunk.length > 1]:
        length = chunk.length
        tokens += length - 1
        half_pairs += length * (2 * chunk.start + length + 1) - 2 * (chunk.start + 1)
    return tokens, half_pairs
