"""How much a case has to compute and to read, from the model's shape: what its time is held against."""

from __future__ import annotations

from upright.models.model_config import ModelConfig
from upright.models.work import image_work, layer_weights, skipped_weights
from upright.plan.memory import DTYPE_BYTES, kv_bytes_per_token


class CaseWork:
    def __init__(self, config: ModelConfig, dtype: str) -> None:
        d = config.decoder
        self._vision = config.vision
        self._weights = d.layers * layer_weights(d)
        self._skipped = skipped_weights(d)
        self._head = d.hidden_size * d.vocab_size
        self._pair = 4 * d.heads * d.head_size * d.layers  # a query times a key, and a weight times a value
        self._kv = kv_bytes_per_token(d, dtype)
        self._size = DTYPE_BYTES[dtype]

    def flop(self, prompt: int, output: int, grid: tuple[int, int] | None) -> float:
        """Of one request; `grid` is its image's height and width in patches."""
        tokens = prompt + output - 1
        skipped = tokens - output
        flop = 2.0 * (tokens * self._weights - skipped * self._skipped + output * self._head)
        flop += self._pair * tokens * (tokens + 1) / 2
        if grid is not None and self._vision is not None:
            flop += image_work(self._vision, grid[0] * grid[1])
        return flop

    def decode_bytes(self, contexts: float) -> float:
        """That one step of decodes reads: all weights of the decoder once, and the caches of `contexts` tokens."""
        return float((self._weights + self._head) * self._size + contexts * self._kv)
