"""How long attention candidates take on this device, so that the fastest can be taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.runs import Runs

PAGE = 5476  # patches of 1036 × 1036 pixels
_REPEATS = 3


def packed_clock(
    heads: int, need: AttentionNeed, device: torch.device, layers: Mapping[tuple[int, ...], int]
) -> Callable[[Candidate], float]:
    """A clock of packed attention on CUDA: milliseconds that all layers take for an image of a size not seen before.

    `layers` says how many layers attend over runs of which lengths. What a candidate prepares for new lengths counts
    once, since images come in all sizes; what it compiles when it is first used does not.
    """

    def measure(candidate: Candidate) -> float:
        total = 0.0
        with torch.inference_mode():
            for lengths, count in layers.items():
                first, again = _milliseconds(candidate, lengths, heads, need, device)
                total += count * again + max(0.0, first - again)
        return total

    return measure


def _milliseconds(
    candidate: Candidate, lengths: tuple[int, ...], heads: int, need: AttentionNeed, device: torch.device
) -> tuple[float, float]:
    """What the first call with these lengths takes until it is done, and the best of the next ones on the device."""
    scale = need.head_size**-0.5

    def call(runs: Runs) -> None:
        query, key, value = (x[: sum(runs.lengths)] for x in fused.chunk(3, dim=1))
        candidate.packed(query, key, value, runs, scale)

    fused = torch.randn(sum(lengths), 3 * heads, need.head_size, device=device, dtype=need.dtype)
    call(Runs(tuple(length - 4 for length in lengths)))
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    runs = Runs(lengths)
    call(runs)
    torch.cuda.synchronize(device)
    first = (time.perf_counter() - began) * 1e3
    best = float("inf")
    for _ in range(_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        call(runs)
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end))
    return first, best
