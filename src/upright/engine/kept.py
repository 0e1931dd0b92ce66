"""What starts of an engine measured on a GPU, kept between them, so that a replacement measures nothing.

Two things are measured, one after the other: which of several kernels are the fastest, while the model is loaded, and
what an engine with these takes of the memory.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from upright import __version__
from upright.engine.footprint import Footprint
from upright.engine.kept_entries import KeptEntries
from upright.messages import EngineOptions
from upright.models.model import Measured

JITTER_BYTES = 2**28  # by which free memory may differ between two starts that are alike
KEPT_ENTRIES = 64  # configurations that a file remembers
# Nothing in these changes which kernels are the fastest, or what an engine takes besides its KV cache.
_IRRELEVANT: dict[str, Any] = {
    "faults": None, "measured": None, "overflowed": None, "seed": 0, "threads": 0, "kv_cache_bytes": None,
    "gpu_memory_utilization": 0.9,
}  # fmt: skip


class Kept(msgspec.Struct, frozen=True):
    """Of one configuration."""

    measured: Measured = Measured()
    footprint: Footprint | None = None  # of an engine whose kernels were chosen by `measured`


def fingerprint(options: EngineOptions, *facts: str) -> str:
    """Names everything that measurements depend on. `facts`: model, device, driver, libraries, in words."""
    relevant = msgspec.to_builtins(msgspec.structs.replace(options, **_IRRELEVANT))
    named = json.dumps([__version__, relevant, facts], sort_keys=True)
    return blake2b(named.encode(), digest_size=12).hexdigest()


class KeptMeasurements:
    """Those of one fingerprint, in a small JSON file with those of others."""

    def __init__(self, file: Path | None, key: str) -> None:
        self._entries: KeptEntries[Kept] = KeptEntries(file, Kept, "what was measured", KEPT_ENTRIES)
        self._key = key
        self._known = self._entries.get(key) or Kept()

    @property
    def measured(self) -> Measured:
        """What kernels were chosen by."""
        return self._known.measured

    def footprint(self, free: int) -> Footprint | None:
        """Where at least as much is free as when it was measured; with less, something is different and unknown."""
        return self._known.footprint if self.enough(free) else None

    def enough(self, free: int) -> bool:
        """Whether as much is free as when the footprint was measured; true where none is known."""
        known = self._known.footprint
        return known is None or free >= known.free - JITTER_BYTES

    def keep_measured(self, measured: Measured) -> None:
        """A footprint of other kernels goes."""
        if measured != self._known.measured:
            self._keep(Kept(measured))

    def keep_footprint(self, footprint: Footprint) -> None:
        self._keep(Kept(self._known.measured, footprint))

    def forget_footprint(self) -> None:
        if self._known.footprint is not None:
            self._keep(Kept(self._known.measured))

    def _keep(self, kept: Kept) -> None:
        self._known = kept
        self._entries.put(self._key, kept)
