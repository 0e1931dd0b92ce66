"""How kernels are timed: captured in a graph so that launches cost nothing, the best of several replays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

_ENOUGH = 3e-3  # seconds of device time that a measurement takes
_REPLAYS = 3


@dataclass(frozen=True)
class Case:
    """What is timed. `check` gives the relative error of one call, where there is something to compare it with."""

    name: str
    candidate: str
    run: Callable[[], object]
    bytes: int  # that it must move
    flop: int
    check: Callable[[], float] | None = None
    tolerance: float = 1e-2
    clock: Callable[[], float] | None = None  # seconds of one call, where it is not to be repeated


@dataclass(frozen=True)
class Peaks:
    """What this device reaches: bytes a second of a copy or a sum, FLOP a second of a large product in bfloat16."""

    bandwidth: float
    flops: float


def seconds(run: Callable[[], object], warm_ups: int = 2) -> float:
    """Device time of one call. What is called may take turns among inputs, so that the cache does not lie."""
    for _ in range(warm_ups):
        run()
    once = _events(run, 2)
    if once > _ENOUGH / 4:
        return min(_events(run, 2) for _ in range(_REPLAYS))
    calls = max(8, min(128, int(_ENOUGH / max(once, 1e-6))))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            run()
    graph.replay()
    return min(_events(graph.replay, 1) for _ in range(_REPLAYS)) / calls


def relative_error(answer: torch.Tensor, expected: torch.Tensor) -> float:
    """Distance over length, in float32; NaN where the answer holds any."""
    wanted = expected.float()
    return float((answer.float() - wanted).norm() / wanted.norm())


def measure_peaks(device: torch.device) -> Peaks:
    source = torch.randn(2**29, device=device, dtype=torch.bfloat16)  # 1 GiB
    target = torch.empty_like(source)
    copied = seconds(lambda: target.copy_(source))
    summed = seconds(lambda: source.sum(dtype=torch.float32))
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    multiplied = seconds(lambda: a @ b)
    return Peaks(max(2 * source.nbytes / copied, source.nbytes / summed), 2 * 8192**3 / multiplied)


def _events(run: Callable[[], object], times: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / times
