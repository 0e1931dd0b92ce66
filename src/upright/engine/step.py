"""One step as a value: what is left of its budget while it is made, what it computes, what its draws have come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import msgspec

from upright.engine.places import NOBODY, Decodes, Slots
from upright.engine.sequence import Sequence
from upright.messages import FinishReason


class Chunk(msgspec.Struct, frozen=True, gc=False):  # NOTE: the cheapest to make; a step may have hundreds
    """Tokens [start, start + length) of one sequence, computed in one step."""

    sequence: Sequence
    start: int
    length: int
    samples: bool  # the chunk ends at the last known token, so the step draws the next one

    @property
    def position(self) -> int:
        """What the chunk draws is the output's token of this index."""
        return self.start + self.length - self.sequence.prompt_length


@dataclass(frozen=True)
class Encoding:
    """An image to encode in this step, before the chunks run."""

    sequence: Sequence
    image: int  # index into the request's images


@dataclass(frozen=True, eq=False)
class Step:
    """Chunks and images. Where every chunk is one output token, it is told in arrays, and nothing is `listed`."""

    listed: tuple[Chunk, ...]
    encodings: tuple[Encoding, ...]
    decodes: Decodes | None = None
    steady: bool = False  # so was the step before, with the same sequences in the same order
    grown: list[Sequence] = field(default_factory=list)  # whose block tables are new or longer than in the step before
    drawing: list[Sequence] = field(default_factory=list)  # of the chunks that sample, in order
    at: list[int] = field(default_factory=list)  # index of each draw among its sequence's output
    # The chunks that are not in the midst of an answer and of a block, with their index in `drawing`, or -1
    notable: list[tuple[Chunk, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """There is something to do."""
        return bool(self.listed or self.decodes or self.encodings)

    @property
    def chunk_count(self) -> int:
        return len(self.listed) if self.decodes is None else len(self.drawing)

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        """All of them one by one, for whoever has the time."""
        if self.decodes is None:
            return self.listed
        return tuple(map(Chunk, self.drawing, self.decodes.starts.tolist(), repeat(1), repeat(True)))

    @property
    def sampling(self) -> list[Chunk]:
        """Those that draw, as in `drawing`."""
        return [chunk for chunk in self.chunks if chunk.samples]

    @property
    def tokens(self) -> int:
        return sum(chunk.length for chunk in self.listed) if self.decodes is None else len(self.drawing)


class Completed(NamedTuple):
    """What a step's draws have come to: parallel lists, without sequences that were removed meanwhile."""

    sequences: list[Sequence]
    tokens: list[int]
    at: list[int]  # index of each token among its sequence's output
    rows: list[int]  # place of each among the step's draws
    ends: dict[int, FinishReason]  # index into these lists → why the sequence has ended with this token
    firsts: list[int]  # indices of the tokens that are the first of their requests


class Budget:
    """What is left of one step, and what has been put into it."""

    def __init__(self, tokens: int, encoder_tokens: int) -> None:
        self.tokens = tokens
        self.encoder_tokens = encoder_tokens
        self.hot: Slots = NOBODY.slots  # whose owners decode one token each, beside the chunks
        self.chunks: list[Chunk] = []
        self.drawing: list[Sequence] = []  # of the chunks that sample
        self.prefills: list[Chunk] = []  # chunks of prompts, or of output that was there before
        self.encodings: list[Encoding] = []
        self.grown: list[Sequence] = []
        self.preempted = False
        self.ahead = False  # chunks wait for features that are not ready
        self.held_back = False  # one does
        self.unready: Sequence | None = None  # whose chunk reads features that are not ready
        self.coming: set[bytes] | None = None  # keys of the blocks that this step, and those in flight, complete
        self.counted = 0  # prefills of this step that `coming` knows of

    def may_encode(self, tokens: int) -> bool:
        """An image larger than the whole budget is encoded all the same, as the only one of its step."""
        return tokens <= self.encoder_tokens or not self.encodings

    def encode(self, sequence: Sequence, image: int) -> None:
        self.encoder_tokens -= sequence.request.images[image].tokens
        self.encodings.append(Encoding(sequence, image))
