"""The paged KV cache's bookkeeping: which block is free, held, or idle but reusable by its content.

It never touches keys or values: a block is a number. `check()` proves that free + held + idle = total.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class BlockCache:
    """Blocks 0 … total-1 with reference counts, and an index of full blocks by content key.

    Idle blocks (no holder, content still valid) wait in order of release; the longest idle is evicted first. Sequences
    release their last block first, so a leaf always goes before its parent.
    """

    def __init__(self, total: int, block_size: int) -> None:
        self.total = total
        self.block_size = block_size
        self._free = list(range(total - 1, -1, -1))  # a stack: block 0 is handed out first
        self._holders = [0] * total
        self._key_of: list[bytes | None] = [None] * total
        self._block_of: dict[bytes, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # least recently released first

    @property
    def available(self) -> int:
        """Blocks that can be taken now, evicting idle ones."""
        return len(self._free) + len(self._idle)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def held(self) -> int:
        return self.total - self.available

    def match(self, keys: Iterable[bytes]) -> list[int]:
        """Blocks that hold the first tokens of a sequence whose first blocks have these keys: the longest run.

        They are not held yet: the caller holds them with `hold`, before it allocates anything.
        """
        found: list[int] = []
        for key in keys:
            block = self._block_of.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def idle_among(self, blocks: Iterable[int]) -> int:
        """How many of `blocks` are idle: holding them takes that many away from `available`."""
        return sum(1 for block in blocks if block in self._idle)

    def hold(self, blocks: Iterable[int]) -> None:
        """Add one holder to each of these cached blocks."""
        for block in blocks:
            self._idle.pop(block, None)
            self._holders[block] += 1

    def allocate(self, count: int) -> list[int] | None:
        """`count` blocks with one holder each and unknown content; None (and nothing changed) if too few are left."""
        if count > self.available:
            return None
        taken = []
        for _ in range(count):
            if self._free:
                block = self._free.pop()
            else:
                block, _ = self._idle.popitem(last=False)
                self._forget(block)
            self._holders[block] = 1
            taken.append(block)
        return taken

    def publish(self, block: int, key: bytes) -> None:
        """Make a held, full and computed block findable. The first block under a key stays; a second is not indexed."""
        if key not in self._block_of and self._key_of[block] is None:
            self._block_of[key] = block
            self._key_of[block] = key

    def release(self, blocks: Iterable[int]) -> None:
        """Give up one hold on each block of a block table (in its order). Published blocks stay findable."""
        for block in reversed(list(blocks)):
            self._holders[block] -= 1
            if self._holders[block] == 0:
                if self._key_of[block] is None:
                    self._free.append(block)
                else:
                    self._idle[block] = None

    def check(self, tables: Iterable[Iterable[int]] | None = None) -> None:
        """Prove the invariants; with `tables`, that every hold belongs to one of these block tables.

        Raises: AssertionError that says what does not add up.
        """
        free, idle = set(self._free), set(self._idle)
        held = {block for block, holders in enumerate(self._holders) if holders}
        assert len(free) == len(self._free), "a block is free twice"
        assert not (free & idle or free & held or idle & held), "a block is in two states"
        assert len(free) + len(idle) + len(held) == self.total, (
            f"free {len(free)} + idle {len(idle)} + held {len(held)} is not total {self.total}"
        )
        assert all(holders >= 0 for holders in self._holders), "a block has fewer than no holders"
        assert all(self._key_of[block] is not None for block in idle), "an idle block has no key"
        assert all(self._key_of[block] is None for block in free), "a free block has a key"
        assert {key: block for block, key in enumerate(self._key_of) if key is not None} == self._block_of, (
            "keys and blocks do not mirror each other"
        )
        if tables is not None:
            counted = [0] * self.total
            for table in tables:
                for block in table:
                    counted[block] += 1
            assert counted == self._holders, "holders and block tables do not agree"

    def _forget(self, block: int) -> None:
        key = self._key_of[block]
        if key is not None:
            del self._block_of[key]
            self._key_of[block] = None
