#!/usr/bin/env python3
"""A fault that a sanitizer must find, so that a clean run means something, or the contrary.

Usage: planted_faults.py astray|past|race|handed

astray: a write to an address that nobody owns. past: a write to the byte after an allocation, which no GPU notices by
itself. race: two warps that exchange values through shared memory without a barrier. handed: no fault at all; warps
with work of their own, and no shared memory but Triton's, through which they are given that work.
"""

from __future__ import annotations

import sys

import torch

RACE = """
extern "C" __global__ void _race(int* out) {
    __shared__ int values[128];
    values[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = values[127 - threadIdx.x];
}
"""


def past() -> None:
    from upright.kernels.triton.wild_write import _write

    memory = torch.zeros(16, dtype=torch.int8, device="cuda")
    _write[(1,)](memory, memory.numel())


def race() -> None:
    # Triton sets its own barriers, so this one is CUDA's
    kernel = torch.cuda._compile_kernel(RACE, "_race")
    kernel(grid=(1, 1, 1), block=(128, 1, 1), args=[torch.zeros(128, dtype=torch.int32, device="cuda")])


def astray() -> None:
    from upright.kernels.triton.wild_write import write_astray

    write_astray()


def handed() -> None:
    from handed_over import hand_over

    hand_over()


if __name__ == "__main__":
    {"astray": astray, "past": past, "race": race, "handed": handed}[sys.argv[1]]()
    torch.cuda.synchronize()
