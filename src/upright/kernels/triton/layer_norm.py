"""Residual addition and layer normalisation of whole rows, one program a row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


def add_layer_norm(residual: Tensor, delta: Tensor | None, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """See `kernels.layer_norm.add_layer_norm`; without `delta` it only normalises. Rows may be strided."""
    rows, size = residual.shape
    normed = torch.empty(rows, size, dtype=weight.dtype, device=residual.device)
    if rows == 0:
        return normed
    block = triton.next_power_of_2(size)
    _add_layer_norm[(rows,)](
        residual, residual if delta is None else delta, weight, bias, normed, epsilon,
        residual.stride(0), 0 if delta is None else delta.stride(0),
        SIZE=size, BLOCK=block, ADD=delta is not None, num_warps=max(1, min(16, block // 512)),
    )  # fmt: skip
    return normed


@triton.jit
def _add_layer_norm(
    residual, delta, weight, bias, normed, epsilon, residual_stride, delta_stride,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, ADD: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < SIZE
    place = residual + row * residual_stride + column
    value = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        added = tl.load(delta + row * delta_stride + column, mask=inside, other=0.0).to(tl.float32)
        total = (value + added).to(residual.dtype.element_ty)
        tl.store(place, total, mask=inside)
        value = total.to(tl.float32)  # what is normalised is what the next layer will find
    gain = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, value - tl.sum(value, axis=0) / SIZE, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, axis=0) / SIZE + epsilon)
    result = centred * scale * gain + shift
    tl.store(normed + row * SIZE + column, result.to(normed.dtype.element_ty), mask=inside)
