"""Whether kernels may start before the one ahead of them in the stream has ended.

A kernel that starts early asks for what no other kernel writes, such as weights, waits for its predecessor, and lets
its successor start in turn: the gap between two launches is used. Compute capability 9.0 is needed. Each kernel waits
before it touches anything that another one writes, so an order is kept all along the stream.
"""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl


@cache
def serves(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


def options(device: torch.device) -> dict[str, bool]:
    """What a launch adds: the kernel's constant EARLY, and what tells the driver."""
    return {"EARLY": True, "launch_pdl": True} if serves(device) else {"EARLY": False}


@triton.jit
def prefetch(pointers):
    """Ask for what lies there, into the second cache: an early kernel's first reads, whatever they will be. No value is
    seen, so it may be asked for before whoever writes it has ended.
    """
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; mov.u32 $0, 0;", "=r,l", [pointers.to(tl.int64)], tl.int32, is_pure=False, pack=1
    )
