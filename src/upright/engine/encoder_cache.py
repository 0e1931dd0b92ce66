"""Which images' vision features are kept: shared by content, pinned while tokens over them are still to be computed.

Only bookkeeping, in tokens; the runner keeps the tensors under the same keys.
"""

from __future__ import annotations

from collections import OrderedDict


class EncoderCache:
    """At most `capacity` tokens of features. Unpinned ones go in order of last use."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._tokens: dict[bytes, int] = {}
        self._pins: dict[bytes, set[str]] = {}
        self._unpinned: OrderedDict[bytes, None] = OrderedDict()
        self.evicted: list[bytes] = []  # since the runner last took them

    def __contains__(self, key: bytes) -> bool:
        return key in self._tokens

    def pin(self, key: bytes, sequence: str) -> None:
        """Keep `key`, which is here, for `sequence`."""
        self._unpinned.pop(key, None)
        self._pins.setdefault(key, set()).add(sequence)

    def reserve(self, key: bytes, tokens: int, sequence: str) -> bool:
        """Make room for features that this step will compute, pinned for `sequence`. False: pinned ones fill it."""
        evictable = sum(self._tokens[unpinned] for unpinned in self._unpinned)
        if self.used - evictable + tokens > self.capacity:
            return False
        while self.used + tokens > self.capacity:
            oldest, _ = self._unpinned.popitem(last=False)
            self._drop(oldest)
        self._tokens[key] = tokens
        self.used += tokens
        self.pin(key, sequence)
        return True

    def unpin(self, key: bytes, sequence: str) -> None:
        """`sequence` no longer needs `key`; it stays until its room is wanted. Unknown pins are ignored."""
        pins = self._pins.get(key)
        if pins is None or sequence not in pins:
            return
        pins.discard(sequence)
        if not pins:
            del self._pins[key]
            self._unpinned[key] = None

    def take_evicted(self) -> list[bytes]:
        """Keys whose tensors the runner may free now."""
        evicted, self.evicted = self.evicted, []
        return evicted

    def check(self) -> None:
        """Raises: AssertionError where sizes or pins do not add up."""
        assert self.used == sum(self._tokens.values()) <= self.capacity, "the encoder cache's sizes do not add up"
        assert set(self._pins) | set(self._unpinned) == set(self._tokens), "a feature is neither pinned nor unpinned"
        assert not set(self._pins) & set(self._unpinned), "a feature is pinned and unpinned"

    def _drop(self, key: bytes) -> None:
        self.used -= self._tokens.pop(key)
        self.evicted.append(key)
