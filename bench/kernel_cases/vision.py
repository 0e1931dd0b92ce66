"""Packed attention of the vision tower: pages of 1036 × 1036 pixels, crops, and windows, by every candidate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from kernel_timing import Case, relative_error

from upright.kernels.attention.candidate import Candidate
from upright.kernels.attention.flash import FLASH
from upright.kernels.attention.portable import PORTABLE
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.runs import Runs
from upright.kernels.attention.sdpa import SDPA
from upright.kernels.attention.tiles import TRITON

HEADS, SIZE = 16, 80
PAGE = 5476
CROP = 800  # patches of 560 × 280 pixels
DTYPE = torch.bfloat16

Packed = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Runs, float], torch.Tensor]


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    shapes = {"1 page": (PAGE,), "4 pages": (PAGE,) * 4, "8 crops": (CROP,) * 8, "mixed": (PAGE, CROP, 1600, 3000)}
    if not quick:
        shapes |= {"2 pages": (PAGE,) * 2, "64 crops": (CROP,) * 64, "windows": (64,) * 85 + (16, 32)}
    for name, lengths in shapes.items():
        yield from _packed(device, name, lengths, tune=name == "1 page" or not quick)
    for candidate in (FLASH, SDPA, TRITON):
        yield _new_size(device, candidate)


def _new_size(device: torch.device, candidate: Candidate) -> Case:
    """The first call with lengths not seen before, from the host: what each new size of an image costs."""
    fused = torch.randn(2000, 3 * HEADS, SIZE, device=device, dtype=DTYPE)

    def call(rows: int) -> float:
        query, key, value = (x[:rows] for x in fused.chunk(3, dim=1))
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        candidate.packed(query, key, value, Runs((rows,)), SIZE**-0.5)
        torch.cuda.synchronize(device)
        return time.perf_counter() - began

    def clock() -> float:
        call(1996)
        return sorted(call(rows) for rows in range(1900, 1990, 10))[4]

    return Case("packed, a new size", candidate.name, lambda: None, 0, 0, clock=clock)


def _packed(device: torch.device, name: str, lengths: tuple[int, ...], tune: bool) -> Iterator[Case]:
    from upright.kernels.triton import packed_attention

    fused = torch.randn(sum(lengths), 3 * HEADS, SIZE, device=device, dtype=DTYPE)
    query, key, value = fused.chunk(3, dim=1)
    scale, runs = SIZE**-0.5, Runs(lengths)
    expected = REFERENCE.packed(query.float(), key.float(), value.float(), runs, scale)
    ways: dict[str, Packed] = {
        "flash": FLASH.packed,
        "portable": PORTABLE.packed,
        "sdpa": SDPA.packed,
        "triton": packed_attention.attend,
    }
    if tune:
        for tiling in packed_attention.TILINGS:
            label = (
                f"triton {tiling.rows}x{tiling.keys} w{tiling.warps} s{tiling.stages}{' boxes' if tiling.bulk else ''}"
            )
            ways[label] = lambda *a, tiling=tiling: packed_attention.attend(*a, tiling=tiling)
    for label, packed in ways.items():
        yield Case(
            f"packed {name}",
            label,
            lambda packed=packed: packed(query, key, value, runs, scale),
            4 * sum(lengths) * HEADS * SIZE * 2,
            4 * sum(length**2 for length in lengths) * HEADS * SIZE,
            lambda packed=packed: relative_error(packed(query, key, value, runs, scale), expected),
        )
