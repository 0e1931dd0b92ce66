"""The running sequences by slot, and in arrays what a step of decodes changes of all of them.

Most of what a step computes is one token each for sequences in the midst of an answer and of a block. Those are *hot*:
nothing is to be decided about them, and a step takes all of them at once. With hundreds of sequences that is what a
step costs the host.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upright.engine.sequence import Sequence

Integers = NDArray[np.int32]
Slots = NDArray[np.intp]

NEVER = -1  # has a sequence computed as many tokens


class Decodes(NamedTuple):
    """One token each of N sequences, by ascending slot."""

    slots: Slots  # [N]
    starts: Integers  # [N]: index of the token in its sequence, which has as many computed before it


NOBODY = Decodes(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int32))


class Places:
    """Who runs in which of `count` slots. `computed` of a sequence is counted here while it runs."""

    def __init__(self, count: int, block_size: int) -> None:
        self._block_size = block_size
        self._free = list(range(count - 1, -1, -1))  # a stack: 0 is handed out first
        self._owners: list[Sequence | None] = [None] * count
        self._admitted = np.zeros(count, dtype=np.int64)  # the owner's number in order of admission, from 1; else 0
        self.admissions = 0  # until now
        self._first_draws = np.zeros(count, dtype=np.int32)  # index of what a decode draws, less the token's own
        self._computed = np.zeros(count, dtype=np.int32)
        self._plain_until = np.zeros(count, dtype=np.int32)  # tokens below this are plain decodes; 0 if none is
        self._hot_until = np.full(count, NEVER, dtype=np.int32)  # the same as far as the owner's blocks reach
        counts: Any = self._computed
        self._counts = memoryview(counts)  # a single number is had from it three times as fast

    def enter(self, sequence: Sequence) -> None:
        """Give a sequence a slot. There is a free one: the caller counts."""
        slot = self._free.pop()
        self.admissions += 1
        self._owners[slot] = sequence
        self._admitted[slot] = self.admissions
        self._first_draws[slot] = 1 - sequence.prompt_length
        self._computed[slot] = sequence.computed
        sequence.slot, sequence.counts = slot, self._counts

    def leave(self, sequence: Sequence) -> None:
        slot, computed = sequence.slot, sequence.computed
        sequence.slot, sequence.counts = -1, None
        sequence.computed = computed
        self._owners[slot] = None
        self._admitted[slot] = self._computed[slot] = self._plain_until[slot] = 0
        self._hot_until[slot] = NEVER
        self._free.append(slot)

    def heat(self, sequence: Sequence, until: int) -> None:
        """The sequence decodes, and as long as it has blocks nothing is to be decided about its tokens before `until`.

        The sequence is told again when it has got other blocks than from `grow`.
        """
        self._plain_until[sequence.slot] = until
        self._hot_until[sequence.slot] = min(until, len(sequence.blocks) * sequence.block_size)

    def full(self) -> list[Sequence]:
        """Those that want for nothing but a block to be hot."""
        reached = (self._computed == self._hot_until).nonzero()[0]
        return self.owners(reached[self._computed[reached] < self._plain_until[reached]].tolist())

    def grow(self, sequences: list[Sequence], blocks: list[int]) -> None:
        """Give each of these, which were full, one more block."""
        for sequence, block in zip(sequences, blocks, strict=True):
            sequence.blocks.append(block)
        if sequences:
            slots = [sequence.slot for sequence in sequences]
            self._hot_until[slots] = np.minimum(self._hot_until[slots] + self._block_size, self._plain_until[slots])

    def split(self) -> tuple[Slots, list[Sequence]]:
        """Slots of those that are hot, ascending; the others in order of admission."""
        hot = self._computed < self._hot_until
        slots = hot.nonzero()[0]
        if slots.size == len(self._owners) - len(self._free):
            return slots, []
        cold = ((self._admitted > 0) & ~hot).nonzero()[0]
        return slots, self.owners(cold[self._admitted[cold].argsort()].tolist())

    def still_hot(self, slots: Slots) -> Slots:
        """Those of `slots`, which were hot, that no sequence has left since."""
        return slots[self._plain_until[slots] > 0]

    def advance(self, slots: Slots) -> None:
        """A step computes one token of each."""
        self._computed[slots] += 1

    def owners(self, slots: list[int]) -> list[Sequence]:
        return [owner for slot in slots if (owner := self._owners[slot]) is not None]

    def decodes(self, slots: Slots) -> Decodes:
        """What a step computes that has just advanced each of `slots` by one token."""
        return Decodes(slots, self._computed[slots] - 1)

    def at(self, decodes: Decodes) -> list[int]:
        """Index of each decode's draw among its sequence's output."""
        return (decodes.starts + self._first_draws[decodes.slots]).tolist()  # type: ignore[no-any-return]

    def check(self, running: list[Sequence]) -> None:
        """Prove that those who run, and nobody else, have a slot each. Raises: AssertionError."""
        count = len(self._owners)
        slots = [sequence.slot for sequence in running]
        assert sorted(self._free + slots) == list(range(count)), "a slot is lost or owned twice"
        assert self.owners(slots) == running, "a slot has another owner"
        assert np.flatnonzero(self._admitted).tolist() == sorted(slots), "a slot is free and has an owner"
        assert self._admitted[slots].tolist() == sorted(self._admitted[slots]), "the order of admission is lost"
        assert not self._plain_until[self._free].any(), "nobody's slot is hot"
        for sequence in running:
            slot, room = sequence.slot, len(sequence.blocks) * self._block_size
            if self._plain_until[slot]:
                until = min(room, int(self._plain_until[slot]))
                assert self._hot_until[slot] == until, "the room for tokens is miscounted"
