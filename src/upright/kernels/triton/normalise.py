"""Residual addition and root-mean-square normalisation of whole rows, one program a row."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from upright.kernels.triton import early

_FEW_ROWS = 64  # up to here a row is spread over many threads, because nothing else fills the device


def add_rms_norm(
    residual: Tensor, delta: Tensor | None, weight: Tensor, epsilon: float, factor: float, overflow: Tensor | None
) -> Tensor:
    """See `kernels.normalise.add_rms_norm`; without `delta` it only normalises. Rows may be strided."""
    rows, size = residual.shape
    normed = torch.empty(rows, size, dtype=weight.dtype, device=residual.device)
    if rows == 0:
        return normed
    block = triton.next_power_of_2(size)
    _add_rms_norm[(rows,)](
        residual, residual if delta is None else delta, weight, normed, overflow, epsilon, factor,
        residual.stride(0), 0 if delta is None else delta.stride(0),
        SIZE=size, BLOCK=block, ADD=delta is not None, SCALE=factor != 1.0, CHECK=overflow is not None,
        num_warps=_warps(rows, block), **early.options(residual.device),
    )  # fmt: skip
    return normed


def _warps(rows: int, block: int) -> int:
    """One access of 16 bytes a thread where a row's latency counts, two where the device is full anyway."""
    values = 8 if rows <= _FEW_ROWS else 16
    return max(1, min(16, block // (32 * values)))


@triton.jit(do_not_specialize=["overflow"])
def _add_rms_norm(
    residual, delta, weight, normed, overflow, epsilon, factor, residual_stride, delta_stride,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, ADD: tl.constexpr, SCALE: tl.constexpr, CHECK: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < SIZE
    gain = tl.load(weight + column, mask=inside, other=0.0)
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()
    place = residual + row * residual_stride + column
    value = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        added = tl.load(delta + row * delta_stride + column, mask=inside, other=0.0).to(tl.float32)
        if SCALE:
            added *= factor
        total = (value + added).to(residual.dtype.element_ty)
        tl.store(place, total, mask=inside)
        value = total.to(tl.float32)  # what is normalised is what the next layer will find
    square = tl.sum(value * value, axis=0) / SIZE
    if CHECK:
        tl.store(overflow, 1, mask=(square - square) != 0.0)  # only infinity and NaN differ from themselves
    scale = tl.rsqrt(square + epsilon)
    result = (value * scale).to(normed.dtype.element_ty).to(tl.float32) * gain.to(tl.float32)
    tl.store(normed + row * SIZE + column, result.to(normed.dtype.element_ty), mask=inside)
