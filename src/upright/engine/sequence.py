"""One sequence in the engine: a request, what has been generated, and how much of it the KV cache holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from upright.messages import Image, Request

if TYPE_CHECKING:
    from torch import Tensor

KEY_BYTES = 16


@dataclass(eq=False)
class Sequence:
    """`computed` tokens of `known` are in the cache, or will be after the steps handed out; the rest is work.

    `known` counts the `pending` tokens, which steps in flight draw: they have a place, but only the device knows their
    values yet. NOTE: 0 <= computed < known while it runs. What the scheduler asks for in every step is a plain
    attribute here, kept up by it: a property costs several times as much, and there are hundreds of sequences.
    """

    request: Request
    block_size: int
    pixels: tuple[Tensor, ...] = ()  # resized images, uint8 [height, width, 3], in the order of `request.images`
    output: list[int] = field(default_factory=list)
    pending: int = 0  # draws handed out whose tokens have not come back
    computed: int = 0
    blocks: list[int] = field(default_factory=list)  # the block table
    room: int = 0  # tokens that `blocks` hold
    published: int = 0  # leading blocks that are in the cache under their key
    slot: int = -1  # its place among the running sequences, in [0, max_num_seqs); -1 while it does not run
    cached_tokens: int | None = None  # prompt tokens that the first admission found in the cache
    awaits_output: bool = False  # a draw needs every token before it on the host; the runner knows
    removed: bool = False  # finished or aborted: the scheduler has forgotten it
    _keys: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        request = self.request
        self.id: str = request.id
        self.prompt_length: int = len(request.prompt)
        self.output = list(request.output)
        self.known: int = self.prompt_length + len(self.output)  # tokens of prompt and output, and those pending
        self.ends: frozenset[int] = frozenset(request.params.end_token_ids)

    @property
    def drawn(self) -> int:
        """Output tokens, counting those pending: the position of the next draw."""
        return self.known - self.prompt_length

    @property
    def decoding(self) -> bool:
        """One token is left to compute: the next step samples, and costs one token of the budget."""
        return self.known - self.computed == 1

    def tokens(self, start: int, stop: int) -> list[int]:
        """Token ids [start, stop) of prompt and output; only for tokens whose values have come back."""
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


def image_end(image: Image) -> int:
    """Index in the prompt just past the image's last placeholder token."""
    return image.start + image.tokens
