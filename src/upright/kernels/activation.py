"""Activations of the feed-forward layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def silu_gate(gate_up: Tensor) -> Tensor:
    """silu(gate) * up (SwiGLU, Shazeer 2020, arXiv:2002.05202) of [T, 2 * size], gate first, as [T, size]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate).mul_(up)


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), the approximation of GELU that CLIP's and Qwen2-VL's vision towers use."""
    return torch.sigmoid(1.702 * x).mul_(x)
