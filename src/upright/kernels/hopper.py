"""Kernels that are written warp by warp, in a language of Triton's, for compute capability 9.x alone."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

import torch


@cache
def hopper_kernels(name: str, device: torch.device) -> ModuleType | None:
    """The module of that name in kernels/triton, where the card has the instructions that it names, and Triton the
    language: that came with 3.6 and is an experiment, so other versions may lack it or parts of it.
    """
    if device.type != "cuda" or torch.version.cuda is None or torch.cuda.get_device_capability(device)[0] != 9:
        return None
    import triton

    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 6):
        return None
    try:
        return importlib.import_module(f"upright.kernels.triton.{name}")
    except ImportError:
        return None
