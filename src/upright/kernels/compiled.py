"""Whether Triton's kernels serve a tensor: asked by each operation before it imports its kernel.

Nothing on a CPU imports triton. Where it is missing, as in some builds of torch, the plain-torch path serves.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SERVED = {"cuda"}  # types of devices; tests add "cpu" to run the kernels in Triton's interpreter


def serves(tensor: Tensor) -> bool:
    """True when a Triton kernel should take `tensor`."""
    return tensor.device.type in SERVED and has_triton()


@cache
def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def compiler_loaded() -> bool:
    return "triton" in sys.modules


def import_compiler() -> None:
    """Import triton where it will serve, which takes it a second; it takes no device memory. Anywhere else, nothing."""
    if torch.version.cuda is not None and Path("/dev/nvidiactl").exists() and has_triton():
        importlib.import_module("triton")
