"""Token ids and rotary positions of the chunks of a step, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from upright.engine.sequence import Sequence
from upright.engine.step import Chunk
from upright.models.mrope import ImageSpan, prompt_positions

Integers: TypeAlias = "np.ndarray[Any, np.dtype[np.signedinteger[Any]]]"


@dataclass(frozen=True)
class Prompt:
    """One prompt of P tokens."""

    ids: Integers  # [P]
    positions: Integers  # [3, P]
    delta: int  # what the positions after the prompt have ahead of the index


@dataclass(frozen=True)
class ChunkInputs:
    """The T tokens of a step's chunks, one chunk after the other."""

    ids: Integers  # [T]; 0 where only the device knows the token
    positions: Integers  # [3, T]
    unknown: list[tuple[int, int]]  # (row, slot) of the tokens that only the device knows: the last drawn in the slot


class Prompts:
    """The prompts of the sequences in the engine, worked out once each. `merge_size`: patches a side in one token."""

    def __init__(self, merge_size: int) -> None:
        self._merge_size = merge_size
        self._known: dict[str, Prompt] = {}

    def of(self, sequence: Sequence) -> Prompt:
        known = self._known.get(sequence.id)
        if known is None:
            request, merge = sequence.request, self._merge_size
            spans = [ImageSpan(i.start, i.grid_height // merge, i.grid_width // merge) for i in request.images]
            positions, delta = prompt_positions(len(request.prompt), spans)
            known = Prompt(np.asarray(request.prompt, dtype=np.int64), positions.numpy(), delta)
            self._known[sequence.id] = known
        return known

    def forget(self, sequence: Sequence) -> None:
        self._known.pop(sequence.id, None)

    def inputs(self, chunks: tuple[Chunk, ...]) -> ChunkInputs:
        total = sum(chunk.length for chunk in chunks)
        ids = np.zeros(total, dtype=np.int64)
        positions = np.empty((3, total), dtype=np.int64)
        unknown = []
        row = 0
        for chunk in chunks:
            sequence, start, end = chunk.sequence, chunk.start, chunk.start + chunk.length
            prompt = self.of(sequence)
            length = len(prompt.ids)
            inside = min(end, length) - start
            if inside > 0:
                ids[row : row + inside] = prompt.ids[start : start + inside]
                positions[:, row : row + inside] = prompt.positions[:, start : start + inside]
                row, start = row + inside, start + inside
            if start < end:
                drawn = sequence.output[start - length : end - length]
                ids[row : row + len(drawn)] = drawn
                if len(drawn) < end - start:  # NOTE: one token at most is in flight when a step is launched
                    unknown.append((row + len(drawn), sequence.slot))
                positions[:, row : row + end - start] = np.arange(start, end) + prompt.delta
                row += end - start
        return ChunkInputs(ids, positions, unknown)
