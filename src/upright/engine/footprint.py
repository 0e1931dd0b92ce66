"""What an engine takes of a GPU besides its KV cache: how it is measured. `kept` keeps it between starts.

The order matters. What is free is read when CUDA and its libraries are there, but nothing of the model: what is missing
then is not the engine's to give. After the weights are loaded and the largest steps have run, the difference is what
the engine has consumed, whichever allocator did it; how far steps go above that and come back is their transient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

Cache = TypeVar("Cache")
Engine = TypeVar("Engine")


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
