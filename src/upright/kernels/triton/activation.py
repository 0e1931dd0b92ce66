"""Activations: a row is cut into pieces, one program a piece, so that few long rows fill the device too."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from upright.kernels.triton import early

_BLOCK = 1024  # values of a piece: 16 bytes a thread with 4 warps


def silu_gate(gate_up: Tensor, factor: float) -> Tensor:
    """See `kernels.activation.silu_gate`. Rows may be strided."""
    rows, size = gate_up.shape[0], gate_up.shape[1] // 2
    result = torch.empty(rows, size, dtype=gate_up.dtype, device=gate_up.device)
    if rows:
        _silu_gate[(rows, triton.cdiv(size, _BLOCK))](
            gate_up, result, gate_up.stride(0), factor,
            SIZE=size, BLOCK=_BLOCK, SCALE=factor != 1.0, num_warps=4, **early.options(gate_up.device),
        )  # fmt: skip
    return result


def quick_gelu(x: Tensor, bias: Tensor | None) -> Tensor:
    """See `kernels.activation.quick_gelu`. Rows may be strided."""
    rows, size = x.shape
    result = torch.empty(rows, size, dtype=x.dtype, device=x.device)
    if rows:
        _quick_gelu[(rows, triton.cdiv(size, _BLOCK))](
            x, bias, result, x.stride(0),
            SIZE=size, BLOCK=_BLOCK, BIASED=bias is not None, num_warps=4, **early.options(x.device),
        )  # fmt: skip
    return result


@triton.jit
def _silu_gate(
    gate_up, result, stride, factor,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, SCALE: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < SIZE
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()
    place = gate_up + row * stride + column
    gate = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(place + SIZE, mask=inside, other=0.0).to(tl.float32)
    gated = gate / (1.0 + tl.exp(-gate)) * up
    if SCALE:
        gated *= factor
    tl.store(result + row * SIZE + column, gated.to(result.dtype.element_ty), mask=inside)


@triton.jit
def _quick_gelu(
    x, bias, result, stride,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, BIASED: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < SIZE
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()
    value = tl.load(x + row * stride + column, mask=inside, other=0.0).to(tl.float32)
    if BIASED:
        value += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    value = value / (1.0 + tl.exp(-1.702 * value))
    tl.store(result + row * SIZE + column, value.to(result.dtype.element_ty), mask=inside)
