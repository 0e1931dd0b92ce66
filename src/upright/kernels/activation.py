"""Activations of the feed-forward layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from upright.kernels.compiled import serves


def silu_gate(gate_up: Tensor, factor: float = 1.0) -> Tensor:
    """silu(gate) * up * factor (SwiGLU, Shazeer 2020, arXiv:2002.05202) of [T, 2 * size], gate first, as [T, size].

    With a `factor` other than 1 the product is taken in float32, so that only the scaled one has to fit the dtype.
    """
    if serves(gate_up):
        from upright.kernels.triton import activation

        return activation.silu_gate(gate_up, factor)
    if factor != 1.0:
        gate, up = gate_up.float().chunk(2, dim=-1)
        return functional.silu(gate).mul_(up).mul_(factor).to(gate_up.dtype)
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate).mul_(up)


def silu_gate_reference(gate_up: Tensor, factor: float = 1.0) -> Tensor:
    gate, up = gate_up.float().chunk(2, dim=-1)
    return (gate / (1 + torch.exp(-gate)) * up * factor).to(gate_up.dtype)


def quick_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """y * sigmoid(1.702 y) of y = x + bias, the approximation of GELU in CLIP's and Qwen2-VL's vision towers.

    x [T, size], bias [size].
    """
    if serves(x):
        from upright.kernels.triton import activation

        return activation.quick_gelu(x, bias)
    if bias is not None:
        x = x + bias
    return torch.sigmoid(1.702 * x).mul_(x)


def quick_gelu_reference(x: Tensor, bias: Tensor | None = None) -> Tensor:
    wide = x.float() if bias is None else x.float() + bias.float()
    return (wide / (1 + torch.exp(-1.702 * wide))).to(x.dtype)
