"""Whether kernels may start before the one ahead of them in the stream has ended.

A kernel that starts early asks for what no other kernel writes, such as weights, waits for its predecessor, and lets
its successor start in turn: the gap between two launches is used. Compute capability 9.0 is needed. Each kernel waits
before it touches anything that another one writes, so an order is kept all along the stream.
"""

from __future__ import annotations

from functools import cache

import torch


@cache
def serves(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


def options(device: torch.device) -> dict[str, bool]:
    """What a launch adds: the kernel's constant EARLY, and what tells the driver."""
    return {"EARLY": True, "launch_pdl": True} if serves(device) else {"EARLY": False}
