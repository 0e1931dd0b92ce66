"""One sequence in the engine: a request, what has been generated, and how much of it the KV cache holds."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b

from upright.kernels.not_finite import NOT_FINITE
from upright.messages import FinishReason, Image, Request

KEY_BYTES = 16
_TOKEN_BYTES = array("i").itemsize


@dataclass(eq=False)
class Sequence:
    """Prompt and output, of which `computed` tokens are in the KV cache or will be after the steps handed out.

    `todo` more are known and still to be computed; `pending` of those known were drawn by steps in flight: they have
    their place, but only the device has their values. NOTE: while a sequence decodes, `todo` stays 1 and `computed` is
    all that a step changes before its token is there; so while it runs that is counted in an array of all (`Places`).
    """

    request: Request
    block_size: int
    awaits_output: bool = False  # its draws need every token before them on the host; the runner knows
    output: list[int] = field(init=False)
    todo: int = field(init=False)
    blocks: list[int] = field(default_factory=list)  # the block table
    published: int = 0  # leading blocks that are in the cache under their key
    slot: int = -1  # its place among the running sequences, in [0, max_num_seqs); -1 while it does not run
    counts: memoryview | None = None  # int32 [max_num_seqs]: `computed` of each slot, while it runs
    cached_tokens: int | None = None  # prompt tokens that the first admission found in the cache
    removed: bool = False  # finished or aborted: the scheduler has forgotten it
    _computed: int = 0  # while it does not run
    _keys: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        request = self.request
        self.id = request.id
        self.attempt = request.attempt
        self.output = list(request.output)
        self.prompt_length = len(request.prompt)
        self.todo = self.prompt_length + len(self.output)
        self.most_output = request.params.max_tokens
        self.end_tokens = frozenset(request.params.end_token_ids)
        self.images_end = max(map(image_end, request.images), default=0)

    @property
    def computed(self) -> int:
        """Tokens that are in the KV cache, or will be."""
        return self._computed if self.counts is None else int(self.counts[self.slot])

    @computed.setter
    def computed(self, computed: int) -> None:
        if self.counts is None:
            self._computed = computed
        else:
            self.counts[self.slot] = computed

    @property
    def known(self) -> int:
        """Tokens of prompt and output, with those that are pending."""
        return self.computed + self.todo

    @property
    def drawn(self) -> int:
        """Output tokens, with those that are pending: the position of the next draw."""
        return self.computed + self.todo - self.prompt_length

    @property
    def pending(self) -> int:
        """Tokens that steps in flight draw."""
        return self.drawn - len(self.output)

    @property
    def decoding(self) -> bool:
        """One token is left to compute: the next step samples, and costs one token of the budget."""
        return self.todo == 1

    @property
    def ending(self) -> bool:
        """Once what is pending is there, it has as many tokens as it may: nothing more is to be drawn."""
        return self.drawn >= self.most_output and self.pending > 0

    def fit(self, max_model_len: int) -> None:
        """End with as many tokens as the engine can hold, at the latest."""
        self.most_output = min(self.most_output, max_model_len - self.prompt_length)

    def restart(self, computed: int) -> None:
        """The cache holds `computed` of the known tokens, and no step in flight will add to them."""
        self.todo = self.known - computed
        self.computed = computed

    def advance(self, length: int) -> bool:
        """A step computes the next `length` tokens. True if these are all, so that it draws one more."""
        self.computed += length
        self.todo -= length
        draws = self.todo == 0
        if draws:
            self.todo = 1
        return draws

    def finish_reason(self) -> FinishReason | None:
        """Why the sequence ends with its newest output token, or None if it goes on."""
        output = self.output
        if output[-1] == NOT_FINITE:
            return "error"
        if output[-1] in self.end_tokens and len(output) > self.request.params.min_tokens:
            return "stop"
        return "length" if len(output) >= self.most_output else None

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

    def block_keys(self, count: int) -> list[bytes]:
        """The content keys of the first `count` blocks at least, whose tokens have to be known by value.

        A key is made of the parent's key, the token ids, and the key of each image with its offset in the block.
        """
        keys, size = self._keys, self.block_size
        start, stop = len(keys) * size, count * size
        if start >= stop:
            return keys
        content = array("i", self.tokens(start, stop)).tobytes()
        key, width = keys[-1] if keys else b"", size * _TOKEN_BYTES
        for at in range(start, stop, size):
            offset = (at - start) * _TOKEN_BYTES
            digest = blake2b(key + content[offset : offset + width], digest_size=KEY_BYTES)
            if at < self.images_end:
                for image_index in self.images_between(at, at + size):
                    image = self.request.images[image_index]
                    digest.update(image.key + (at - image.start).to_bytes(8, "little", signed=True))
            key = digest.digest()
            keys.append(key)
        return keys


def image_end(image: Image) -> int:
    """Index in the prompt just past the image's last placeholder token."""
    return image.start + image.tokens
