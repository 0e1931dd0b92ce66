"""Pillow's bicubic resize with torch ops, to the last bit.

The reference image processor resizes with Pillow. torch's own uint8 routine keeps fewer bits of each weight and differs
by one or two steps in 255 here and there. The arithmetic here is Pillow's: weights in fixed point with 22 bits, one
axis after the other, each pass rounded and clipped to 8 bits.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from upright.kernels.compiled import serves
from upright.kernels.transfer import sent

PRECISION_BITS = 22
SUPPORT = 2.0  # of the cubic kernel, in source pixels when nothing is scaled down
BLOCK_ROWS = 32  # new rows in one matrix product: more waste on the zeros beside the band, fewer repeat its ends
SHARPNESS = -0.5  # the cubic's free parameter (Keys, 1981)


def resize_bicubic(pixels: Tensor, height: int, width: int) -> Tensor:
    """uint8 [H, W, C] to uint8 [height, width, C], on the device of `pixels`; `pixels` itself if it has that size."""
    # Each pass rounds, so their order shows. Height goes first where it loses more than twice the pixels that width
    # loses, as in Pillow 13; earlier versions always began with the width.
    lost_rows, lost_columns = pixels.shape[0] - height, pixels.shape[1] - width
    if lost_rows > 0 and lost_rows > 2 * lost_columns:
        pixels = _resample(pixels, 0, height)
    if pixels.shape[1] != width:
        pixels = _resample(pixels, 1, width)
    if pixels.shape[0] != height:
        pixels = _resample(pixels, 0, height)
    return pixels.contiguous()


def _resample(pixels: Tensor, axis: int, size: int) -> Tensor:
    """`pixels` with axis 0 or 1 brought to `size`."""
    if serves(pixels):
        from upright.kernels.triton import resample as compiled

        pixels = pixels.contiguous()
        if pixels.numel() // pixels.shape[axis] * max(pixels.shape[axis], size) <= compiled.LARGEST:
            first, weights = _fixed_point_weights(pixels.shape[axis], size)
            whole = (weights * (1 << PRECISION_BITS)).to(torch.int32)
            return compiled.resample(
                pixels, axis, sent(first.to(torch.int32), pixels.device), sent(whole, pixels.device), PRECISION_BITS
            )
    return _resample_rows(pixels.transpose(0, axis), size).transpose(0, axis)


def _resample_rows(pixels: Tensor, size: int) -> Tensor:
    """uint8 [N, …] to uint8 [size, …]: each new row is a weighted sum of the rows around it.

    A block of new rows is one matrix product over the window of source rows that it needs. In float64 every product and
    sum of these integers is exact.
    """
    first, weights = _fixed_point_weights(pixels.shape[0], size)
    flat = pixels.reshape(pixels.shape[0], -1)
    output = torch.empty(size, flat.shape[1], dtype=torch.uint8, device=pixels.device)
    for start in range(0, size, BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, size))
        top = int(first[rows][0])
        bottom = min(int(first[rows][-1]) + weights.shape[1], pixels.shape[0])
        columns = (first[rows, None] - top + torch.arange(weights.shape[1])).clamp_(max=bottom - top - 1)
        window = torch.zeros(columns.shape[0], bottom - top, dtype=torch.float64)
        window.scatter_add_(1, columns, weights[rows])
        total = window.to(pixels.device) @ flat[top:bottom].double()
        output[rows] = total.add_(0.5).floor_().clamp_(0, 255).to(torch.uint8)
    return output.view(size, *pixels.shape[1:])


@lru_cache(64)
def _fixed_point_weights(source: int, target: int) -> tuple[Tensor, Tensor]:
    """First source row of each target row, int64 [target], and its weights, float64 [target, taps], 0 where unused.

    The weights are multiples of 2**-22, so that sums of their products with 8-bit values are exact.
    """
    scale = source / target
    stretch = max(scale, 1.0)  # the kernel is widened when scaling down: antialiasing
    support = SUPPORT * stretch
    taps = math.ceil(support) * 2 + 1
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) * scale
    first = (centre - support + 0.5).trunc().clamp_(min=0).to(torch.int64)
    end = (centre + support + 0.5).trunc().clamp_(max=source).to(torch.int64)
    row = first[:, None] + torch.arange(taps)
    weights = _cubic((row - centre[:, None] + 0.5) / stretch).masked_fill_(row >= end[:, None], 0.0)
    weights /= weights.sum(dim=1, keepdim=True)
    scaled = weights * (1 << PRECISION_BITS)
    return first, torch.where(scaled < 0, scaled - 0.5, scaled + 0.5).trunc() / (1 << PRECISION_BITS)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel of float64 distances, in source pixels."""
    x, a = x.abs(), SHARPNESS
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return torch.where(x < 1.0, near, torch.where(x < 2.0, far, torch.zeros_like(x)))
