"""How long attention candidates take on this device, so that the fastest can be taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from upright.kernels.attention.candidate import AttentionNeed, Candidate

PAGE = 5476  # patches of 1036 × 1036 pixels
_REPEATS = 3


def packed_clock(
    heads: int, need: AttentionNeed, device: torch.device, layers: Mapping[tuple[int, ...], int]
) -> Callable[[Candidate], float]:
    """A clock of packed attention on CUDA: milliseconds that all layers take, the best of three calls each.

    `layers` says how many layers attend over runs of which lengths. The first call of a candidate, which compiles, does
    not count.
    """

    def measure(candidate: Candidate) -> float:
        with torch.inference_mode():
            return sum(
                count * _milliseconds(candidate, lengths, heads, need, device) for lengths, count in layers.items()
            )

    return measure


def _milliseconds(
    candidate: Candidate, lengths: tuple[int, ...], heads: int, need: AttentionNeed, device: torch.device
) -> float:
    fused = torch.randn(sum(lengths), 3 * heads, need.head_size, device=device, dtype=need.dtype)
    query, key, value = fused.chunk(3, dim=1)
    scale = need.head_size**-0.5
    candidate.packed(query, key, value, lengths, scale)
    best = float("inf")
    for _ in range(_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        candidate.packed(query, key, value, lengths, scale)
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end))
    return best
