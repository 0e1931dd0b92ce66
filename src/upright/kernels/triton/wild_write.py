"""A kernel with a fault, for tests of what survives an illegal memory access. Nothing else may import it."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_ASTRAY = 1 << 44  # bytes past an allocation: no device has that much memory, so nobody's data is hit


@triton.jit
def _write(pointer, offset):
    tl.store(pointer + offset, 1)


def write_astray() -> None:
    """Launch a write to an address that nobody owns: the device's context is lost, and every later call says so."""
    _write[(1,)](torch.zeros(1, dtype=torch.int8, device="cuda"), _ASTRAY)
