"""One pass of a resize, along one axis, in the integers that Pillow uses; one thread a value."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
LARGEST = 2**31 - _BLOCK  # values of an image before or after: they are numbered with 32 bits


def resample(pixels: Tensor, axis: int, first: Tensor, weights: Tensor, bits: int) -> Tensor:
    """uint8 `pixels` [H, W, C], contiguous, with `axis` (0 or 1) brought to the length of `first`.

    Value i of the axis is the sum of the source's values from `first[i]` (int32) on, times `weights[i]` (int32 [size,
    taps], 0 where there is none to be read), rounded off by `bits` and clipped to 8 bits.
    """
    size, taps = weights.shape
    shape = list(pixels.shape)
    source, shape[axis] = shape[axis], size
    result = torch.empty(shape, dtype=torch.uint8, device=pixels.device)
    inner = pixels.stride(axis)
    _resample[(triton.cdiv(result.numel(), _BLOCK),)](
        pixels, first, weights, result, source, size, inner, taps, result.numel(), BITS=bits, BLOCK=_BLOCK, num_warps=4
    )
    return result


@triton.jit(do_not_specialize=["source", "size", "inner", "taps", "total"])
def _resample(
    pixels, first, weights, result, source, size, inner, taps, total, BITS: tl.constexpr, BLOCK: tl.constexpr
):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < total
    line, rest = place // (size * inner), place % (size * inner)
    target, within = rest // inner, rest % inner
    top = tl.load(first + target, mask=inside, other=0)
    start = line * (source * inner) + within
    sum = tl.full((BLOCK,), 1 << (BITS - 1), tl.int32)
    for tap in range(taps):
        row = tl.minimum(top + tap, source - 1)
        weight = tl.load(weights + target * taps + tap, mask=inside, other=0)
        sum += tl.load(pixels + start + row * inner, mask=inside, other=0).to(tl.int32) * weight
    value = tl.minimum(tl.maximum(sum >> BITS, 0), 255)
    tl.store(result + place, value.to(tl.uint8), mask=inside)
