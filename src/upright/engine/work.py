"""The work in a step, in FLOP, from the model's shape: what its time is expected by."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
            self._last += 2 * len(step.chunks) * self._half_pair  # each token sees one more
            return self._last
        # Most chunks are one token, which sees as many as stand before it and itself; the others are put right after.
        tokens = len(step.chunks)
        half_pairs = 2 * (sum([chunk.start for chunk in step.chunks]) + tokens)
        for chunk in [chunk for chunk in step.chunks if chunk.length > 1]:
            length = chunk.length
            tokens += length - 1
            half_pairs += length * (2 * chunk.start + length + 1) - 2 * (chunk.start + 1)
        rows = len(step.drawing)
        flop = self._last = (
            tokens * self._token - (tokens - rows) * self._skipped + half_pairs * self._half_pair + rows * self._row
        )
        if self._vision is not None:
            for encoding in step.encodings:
                image = encoding.sequence.request.images[encoding.image]
                flop += image_work(self._vision, image.grid_height * image.grid_width)
        return flop
