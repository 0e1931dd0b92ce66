"""One sequence in the engine: a request, what has been generated, and how much of it the KV cache holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from upright.messages import FinishReason, Image, Request

if TYPE_CHECKING:
    from torch import Tensor

KEY_BYTES = 16


@dataclass(eq=False)
class Sequence:
    """`computed` tokens of `known` are in the cache; the rest is work. NOTE: 0 <= computed < known while it runs."""

    request: Request
    block_size: int
    pixels: tuple[Tensor, ...] = ()  # resized images, uint8 [height, width, 3], in the order of `request.images`
    output: list[int] = field(default_factory=list)
    computed: int = 0
    blocks: list[int] = field(default_factory=list)  # the block table
    published: int = 0  # leading blocks that are in the cache under their key
    cached_tokens: int | None = None  # prompt tokens that the first admission found in the cache
    removed: bool = False  # finished or aborted: the scheduler has forgotten it
    _keys: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output = list(self.request.output)

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def known(self) -> int:
        """Tokens whose values are known: prompt and output."""
        return len(self.request.prompt) + len(self.output)

    @property
    def decoding(self) -> bool:
        """One token is left to compute: the next step samples, and costs one token of the budget."""
        return self.known - self.computed == 1

    def tokens(self, start: int, stop: int) -> list[int]:
        prompt = self.request.prompt
        length = len(prompt)
        if stop <= length:
            return prompt[start:stop]
        if start >= length:
            return self.output[start - length : stop - length]
        return prompt[start:] + self.output[: stop - length]

    def images_between(self, start: int, stop: int) -> list[int]:
        """Indices of the images that have placeholder tokens in [start, stop)."""
        return [
            index
            for index, image in enumerate(self.request.images)
            if image.start < stop and image.start + image.tokens > start
        ]

    def block_key(self, index: int) -> bytes:
        """The content key of full block `index`: parent key, token ids, and each image's key and offset in it."""
        while len(self._keys) <= index:
            at = len(self._keys)
            start, stop = at * self.block_size, (at + 1) * self.block_size
            digest = blake2b(self._keys[-1] if at else b"", digest_size=KEY_BYTES)
            digest.update(np.asarray(self.tokens(start, stop), dtype=np.int32).tobytes())
            for image_index in self.images_between(start, stop):
                image = self.request.images[image_index]
                digest.update(image.key + (start - image.start).to_bytes(8, "little", signed=True))
            self._keys.append(digest.digest())
        return self._keys[index]

    def finish_reason(self, max_model_len: int) -> FinishReason | None:
        """Why the sequence ends with its newest output token, or None if it goes on."""
        params = self.request.params
        if self.output and self.output[-1] in params.end_token_ids and len(self.output) > params.min_tokens:
            return "stop"
        if len(self.output) >= params.max_tokens or self.known >= max_model_len:
            return "length"
        return None


def image_end(image: Image) -> int:
    """Index in the prompt just past the image's last placeholder token."""
    return image.start + image.tokens
