"""Rotation of heads, and what stands around it: the projection's bias before it, the block cache after it.

The heads of a row are one run of pairs (i, i + half): a program takes a piece of that run whatever heads it crosses, so
that no size of a head wastes threads.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from upright.kernels.triton import early

_BLOCK = 512  # pairs of a piece: 16 bytes a thread and half with 2 warps


def angles(positions: Tensor, frequencies: Tensor, axes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines float32 [T, 1, 2 * pairs], as `kernels.rotary.Rotation` holds them.

    positions int [T] or [3, T], any strides; frequencies float32 [pairs]; axes int64 [pairs] or None.
    """
    tokens, pairs = positions.shape[-1], frequencies.shape[0]
    cosine = torch.empty(tokens, 1, 2 * pairs, dtype=torch.float32, device=positions.device)
    sine = torch.empty_like(cosine)
    if tokens:
        axis_stride = positions.stride(0) if positions.dim() == 2 else 0
        _angles[(tokens,)](
            positions, frequencies, axes, cosine, sine, axis_stride, positions.stride(-1),
            PAIRS=pairs, BLOCK=triton.next_power_of_2(pairs), AXES=axes is not None, num_warps=1,
        )  # fmt: skip
    return cosine, sine


def rotate(
    heads: Tensor, cosine: Tensor, sine: Tensor, rotated: int, bias: Tensor | None,
    cache: Tensor | None = None, slots: Tensor | None = None, queries: int = 0,
) -> None:  # fmt: skip
    """Add `bias` to all of `heads` [T, n, d] and turn the first `rotated` of them, in place.

    With `cache` (one layer's, [blocks, block_size, 2, kv_heads, d]) the heads after the first `queries` are written to
    its slot `slots[row]` instead of back; a row whose slot is negative is not stored.
    """
    tokens, count, size = heads.shape
    if tokens == 0:
        return
    if heads.stride(2) != 1 or heads.stride(1) != size:
        raise ValueError(f"the heads of a row must lie side by side; strides are {heads.stride()}")
    if not cosine.is_contiguous() or not sine.is_contiguous():
        raise ValueError("cosines and sines must be contiguous")
    pairs = count * size // 2
    _rotate[(tokens, triton.cdiv(pairs, _BLOCK))](
        heads, bias, cosine, sine, cache, slots, heads.stride(0),
        HALF=size // 2, COUNT=count, ROTATED=rotated, QUERIES=queries,
        BLOCK=_BLOCK, BIASED=bias is not None, STORED=cache is not None,
        num_warps=2, **early.options(heads.device),
    )  # fmt: skip


@triton.jit(do_not_specialize=["positions", "axis_stride", "token_stride"])
def _angles(
    positions, frequencies, axes, cosine, sine, axis_stride, token_stride,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr, AXES: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    pair = tl.arange(0, BLOCK)
    inside = pair < PAIRS
    frequency = tl.load(frequencies + pair, mask=inside, other=0.0)
    place = positions + token * token_stride
    if AXES:
        axis = tl.load(axes + pair, mask=inside, other=0)
        angle = tl.load(place + axis * axis_stride, mask=inside, other=0).to(tl.float32) * frequency
    else:
        angle = tl.load(place).to(tl.float32) * frequency
    c, s = tl.cos(angle), tl.sin(angle)
    first = token * 2 * PAIRS + pair
    tl.store(cosine + first, c, mask=inside)
    tl.store(cosine + first + PAIRS, c, mask=inside)
    tl.store(sine + first, -s, mask=inside)
    tl.store(sine + first + PAIRS, s, mask=inside)


@triton.jit(do_not_specialize=["slots", "stride"])
def _rotate(
    heads, bias, cosine, sine, cache, slots, stride,
    HALF: tl.constexpr, COUNT: tl.constexpr, ROTATED: tl.constexpr, QUERIES: tl.constexpr,
    BLOCK: tl.constexpr, BIASED: tl.constexpr, STORED: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()
    slot = tl.load(slots + token).to(tl.int64) if STORED else token  # asked for first, needed last
    pair = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    head, lane = pair // HALF, pair % HALF
    inside = pair < COUNT * HALF
    offset = head * (2 * HALF) + lane
    place = heads + token * stride + offset
    x = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(place + HALF, mask=inside, other=0.0).to(tl.float32)
    turning = inside & (head < ROTATED)
    turn = token * (2 * HALF) + lane
    c = tl.load(cosine + turn, mask=turning, other=1.0).to(tl.float32)
    s = tl.load(sine + turn + HALF, mask=turning, other=0.0).to(tl.float32)
    if BIASED:
        x += tl.load(bias + offset, mask=inside, other=0.0).to(tl.float32)
        y += tl.load(bias + offset + HALF, mask=inside, other=0.0).to(tl.float32)
    first = (x * c - y * s).to(heads.dtype.element_ty)
    second = (y * c + x * s).to(heads.dtype.element_ty)
    if STORED:
        back = inside & (head < QUERIES)
        kept = inside & (head >= QUERIES) & (slot >= 0)
        target = cache + slot * ((COUNT - QUERIES) * 2 * HALF) + (offset - QUERIES * 2 * HALF)
        tl.store(target, first.to(cache.dtype.element_ty), mask=kept)
        tl.store(target + HALF, second.to(cache.dtype.element_ty), mask=kept)
    else:
        back = inside
    tl.store(place, first, mask=back)
    tl.store(place + HALF, second, mask=back)
