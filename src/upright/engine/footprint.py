"""What an engine takes of a GPU besides its KV cache: measured once, kept, and what it leaves for the cache.

The order matters. What is free is read when CUDA and its libraries are there, but nothing of the model: what is missing
then is not the engine's to give. After the weights are loaded and the largest steps have run, the difference is what
the engine has consumed, whichever allocator did it; how far steps go above that and come back is their transient.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from upright import __version__
from upright.messages import EngineOptions

log = logging.getLogger(__name__)

Cache = TypeVar("Cache")
Engine = TypeVar("Engine")

JITTER_BYTES = 2**28  # by which free memory may differ between two starts that are alike
KEPT_ENTRIES = 64  # configurations that a file remembers
# Nothing in these changes what an engine takes besides its KV cache.
_IRRELEVANT: dict[str, Any] = {
    "faults": None, "measured": None, "seed": 0, "threads": 0, "kv_cache_bytes": None, "gpu_memory_utilization": 0.9,
}  # fmt: skip


class DeviceMemory(Protocol):
    """A device's memory, in bytes, and the allocator of this process before it."""

    def free(self) -> int:
        """Free on the device, whoever holds the rest."""
        ...

    def reserved(self) -> int:
        """What the allocator has taken from the device."""
        ...

    def peak(self) -> int:
        """The most that was reserved since `reset_peak`."""
        ...

    def reset_peak(self) -> None: ...

    def release(self) -> None:
        """Wait for the device, and give back what the allocator holds for nobody."""
        ...


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of device memory."""

    free: int  # when CUDA and its libraries were there, and nothing else of the engine
    consumed: int  # by weights, compiled kernels and what libraries keep
    transient: int  # by the largest step, beyond that
    graphs: int  # by the graphs of all decode steps


def measure(
    memory: DeviceMemory,
    free: int,
    prepare: Callable[[], Cache],
    run: Callable[[Cache], Engine],
    graphs: Callable[[Engine], int] = lambda engine: 0,
) -> Footprint:
    """Run the largest steps and see what they take.

    `free`: what was free before the model was loaded. `prepare` makes the KV cache of these steps, which is not
    counted; `run` makes an engine with it and runs them; `graphs` says what all graphs of decode steps will take.
    """
    cache = prepare()
    memory.release()
    base = memory.reserved()
    memory.reset_peak()
    engine = run(cache)
    transient = memory.peak() - base
    graph_bytes = graphs(engine)
    del cache, engine
    memory.release()
    return Footprint(free=free, consumed=free - memory.free(), transient=transient, graphs=graph_bytes)


def extrapolated(sizes: list[int], capture: Callable[[int], int]) -> int:
    """Bytes that graphs of all `sizes` take, by capturing the two largest.

    The largest comes first and brings the memory that all of them share; every other is taken to cost what the second
    does. `capture` returns what one graph took of the device.
    """
    largest = sorted(sizes, reverse=True)
    taken = [capture(size) for size in largest[:2]]
    return sum(taken) + (taken[-1] * (len(largest) - 2) if len(largest) > 2 else 0)


# ---- what is kept between starts -------------------------------------------------------------------------------------


def fingerprint(options: EngineOptions, *facts: str) -> str:
    """Names everything that a footprint depends on. `facts`: model, device, driver, libraries, in words."""
    relevant = msgspec.to_builtins(msgspec.structs.replace(options, **_IRRELEVANT))
    named = json.dumps([__version__, relevant, facts], sort_keys=True)
    return blake2b(named.encode(), digest_size=12).hexdigest()


class KeptFootprints:
    """A small JSON file. One that cannot be read or written is told in the log and otherwise does without."""

    def __init__(self, file: Path | None, key: str) -> None:
        self._file = file
        self._key = key
        self._known = self._read().get(key)

    def recall(self, free: int) -> Footprint | None:
        """What was measured, if at least as much is free as then; with less, something is different and unknown."""
        return self._known if self.enough(free) else None

    def enough(self, free: int) -> bool:
        """Whether as much is free as when it was measured; true where nothing is known."""
        return self._known is None or free >= self._known.free - JITTER_BYTES

    def keep(self, footprint: Footprint) -> None:
        self._known = footprint
        entries = self._read()
        entries.pop(self._key, None)
        entries[self._key] = footprint
        self._write(dict(list(entries.items())[-KEPT_ENTRIES:]))

    def forget(self) -> None:
        self._known = None
        entries = self._read()
        if entries.pop(self._key, None) is not None:
            self._write(entries)

    def _read(self) -> dict[str, Footprint]:
        if self._file is None:
            return {}
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Footprint])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            log.warning("cannot read what was measured before in %s: %s", self._file, error)
            return {}

    def _write(self, entries: dict[str, Footprint]) -> None:
        if self._file is None:
            return
        temporary = self._file.with_suffix(f".{os.getpid()}.new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=2))
            temporary.replace(self._file)
        except OSError as error:
            log.warning("cannot keep what was measured in %s: %s", self._file, error)
