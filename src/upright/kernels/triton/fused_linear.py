"""Products of one token, or two, with a matrix, fused with what stands before and after them.

With one token a step only streams the weights, and every launch in the chain of dependent ones costs as much as half a
megabyte of them. A program takes a few rows of the matrix and holds its part of them in registers, all loads in flight
at once; the weights leave the caches first, whose room belongs to what all programs read. Multiplication is plain
arithmetic in float32, so this serves every card and overflows nowhere. Every token has its own programs: those of the
same rows run at the same time, and all but one find the weights in the second cache, which sets the limit.

Where kernels start early, the first weights are on their way before what they are multiplied with has been computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from upright.kernels.triton import early


class Tile(NamedTuple):
    """How a matrix is cut: rows of a program (twice as many where they come in pairs), values of a step, warps."""

    rows: int
    block: int
    warps: int


def tile_of(rows: int, size: int, together: int) -> Tile:
    """The tile for `rows` programs' worth of `together` matrix rows each of `size` values.

    Up to 64 values a thread are in flight; a small matrix is cut finer, so that each of some hundred multiprocessors
    has several programs.
    """
    block = min(triton.next_power_of_2(size), 2048)
    warps = max(1, min(4, block // 256))
    fit = max(1, 64 * 32 * warps // (block * together))
    while fit > 1 and rows // fit < 256:
        fit //= 2
    return Tile(fit, block, warps)


def norm_pairs(
    x: Tensor, gain: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float, half: int, tile: Tile | None = None,
    factor: float = 1.0, turn: tuple[Tensor, Tensor, Tensor, Tensor] | None = None, queries: int = 0, rotated: int = 0,
) -> Tensor:  # fmt: skip
    """rms_norm(x) [T, size] times `weight` [out, size], whose rows pair up: i with i + half in each run of 2 * half.

    Without `turn` the first of a pair is a gate and the second what it gates: [T, out / 2]. With it, (cosine, sine,
    cache, slots), runs are heads: the first `rotated` are turned, and those behind the first `queries` go to the cache;
    the result is [T, queries, 2 * half]. All operands are contiguous.
    """
    (tokens, size), pairs = x.shape, weight.shape[0] // 2
    tile = tile or tile_of(pairs, size, 2)
    count = pairs // half
    width = pairs if turn is None else queries * 2 * half
    result = torch.empty(tokens, width, dtype=weight.dtype, device=x.device)
    cosine, sine, cache, slots = turn or (None, None, None, None)
    _norm_pairs[(tokens * triton.cdiv(pairs, tile.rows),)](
        x, gain, weight, bias, result, cosine, sine, cache, slots, epsilon, factor, tokens,
        SIZE=size, HALF=half, PAIRS=pairs, ROTATED=rotated, QUERIES=queries, COUNT=count, TURN=turn is not None,
        BIASED=bias is not None, ROWS=tile.rows, BLOCK=tile.block, num_warps=tile.warps,
        **early.options(x.device),
    )  # fmt: skip
    return result if turn is None else result.view(tokens, queries, 2 * half)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, factor: float = 1.0,
    overflow: Tensor | None = None, tile: Tile | None = None,
) -> Tensor:  # fmt: skip
    """(x [T, size] times `weight` [out, size]) * factor + bias: added to `residual` [T, out] in place, or [T, out].

    All operands but x are contiguous.
    """
    tokens, (rows, size) = x.shape[0], weight.shape
    tile = tile or tile_of(rows, size, 1)
    result = residual if residual is not None else torch.empty(tokens, rows, dtype=weight.dtype, device=x.device)
    x = x.contiguous()
    _linear[(tokens * triton.cdiv(rows, tile.rows),)](
        x, weight, bias, result, overflow, factor, tokens,
        SIZE=size, OUT=rows, ADD=residual is not None, BIASED=bias is not None, CHECK=overflow is not None,
        ROWS=tile.rows, BLOCK=tile.block, num_warps=tile.warps, **early.options(x.device),
    )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["slots", "tokens"])
def _norm_pairs(
    x, gain, weight, bias, result, cosine, sine, cache, slots, epsilon, factor, tokens,
    SIZE: tl.constexpr, HALF: tl.constexpr, PAIRS: tl.constexpr, ROTATED: tl.constexpr, QUERIES: tl.constexpr,
    COUNT: tl.constexpr, TURN: tl.constexpr, BIASED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    # Both rows of a pair stand side by side in one tile: one load, and one reduction, serve them
    token = tl.program_id(0) % tokens
    start_pair = tl.program_id(0) // tokens * ROWS
    index = tl.arange(0, 2 * ROWS)
    pair = start_pair + index // 2
    row = pair // HALF * (2 * HALF) + pair % HALF + index % 2 * HALF
    column = tl.arange(0, BLOCK)
    place = weight + row.to(tl.int64)[:, None] * SIZE + column[None, :]
    there = (pair < PAIRS)[:, None]
    tile = tl.load(place, mask=there & (column < SIZE)[None, :], other=0.0, eviction_policy="evict_first")
    scale = tl.load(gain + column, mask=column < SIZE, other=0.0)
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()
    total = tl.zeros((2 * ROWS, BLOCK), dtype=tl.float32)
    squares = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in tl.static_range(0, SIZE, BLOCK):
        value = tl.load(x + token * SIZE + start + column, mask=start + column < SIZE, other=0.0).to(tl.float32)
        weights, gains = tile, scale
        if start + BLOCK < SIZE:  # the next step's are on their way while this one's are used
            inside = start + BLOCK + column < SIZE
            mask = there & inside[None, :]
            tile = tl.load(place + start + BLOCK, mask=mask, other=0.0, eviction_policy="evict_first")
            scale = tl.load(gain + start + BLOCK + column, mask=inside, other=0.0)
        squares += value * value
        total += weights.to(tl.float32) * (value * gains.to(tl.float32))[None, :]
    shrink = tl.rsqrt(tl.sum(squares, axis=0) / SIZE + epsilon)
    products = tl.sum(total, axis=1) * shrink
    if BIASED:
        products += tl.load(bias + row, mask=pair < PAIRS, other=0.0).to(tl.float32)
    first, second = tl.split(tl.reshape(products, (ROWS, 2)))
    pair = start_pair + tl.arange(0, ROWS)
    inside = pair < PAIRS
    if TURN:
        head, lane = pair // HALF, pair % HALF
        turning = inside & (head < ROTATED)
        c = tl.load(cosine + token * (2 * HALF) + lane, mask=turning, other=1.0).to(tl.float32)
        s = tl.load(sine + token * (2 * HALF) + HALF + lane, mask=turning, other=0.0).to(tl.float32)
        slot = tl.load(slots + token).to(tl.int64)
        turned = (first * c - second * s).to(result.dtype.element_ty)
        other = (second * c + first * s).to(result.dtype.element_ty)
        offset = head * (2 * HALF) + lane
        query = inside & (head < QUERIES)
        place = result + token * (QUERIES * 2 * HALF) + offset
        tl.store(place, turned, mask=query)
        tl.store(place + HALF, other, mask=query)
        kept = inside & (head >= QUERIES) & (slot >= 0)
        target = cache + slot * ((COUNT - QUERIES) * 2 * HALF) + (offset - QUERIES * 2 * HALF)
        tl.store(target, turned.to(cache.dtype.element_ty), mask=kept)
        tl.store(target + HALF, other.to(cache.dtype.element_ty), mask=kept)
    else:
        gated = first / (1.0 + tl.exp(-first)) * second * factor
        tl.store(result + token * PAIRS + pair, gated.to(result.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["overflow", "tokens"])
def _linear(
    x, weight, bias, result, overflow, factor, tokens,
    SIZE: tl.constexpr, OUT: tl.constexpr, ADD: tl.constexpr, BIASED: tl.constexpr, CHECK: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0) % tokens
    row = tl.program_id(0) // tokens * ROWS + tl.arange(0, ROWS)
    inside = row < OUT
    column = tl.arange(0, BLOCK)
    place = weight + row.to(tl.int64)[:, None] * SIZE + column[None, :]
    there = inside[:, None]
    tile = tl.load(place, mask=there & (column < SIZE)[None, :], other=0.0, eviction_policy="evict_first")
    if EARLY:
        gdc_wait()
        gdc_launch_dependents()
    total = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    for start in tl.static_range(0, SIZE, BLOCK):
        value = tl.load(x + token * SIZE + start + column, mask=start + column < SIZE, other=0.0).to(tl.float32)
        weights = tile
        if start + BLOCK < SIZE:  # the next step's are on their way while this one's are used
            mask = there & (start + BLOCK + column < SIZE)[None, :]
            tile = tl.load(place + start + BLOCK, mask=mask, other=0.0, eviction_policy="evict_first")
        total += weights.to(tl.float32) * value[None, :]
    products = tl.sum(total, axis=1) * factor
    if BIASED:
        products += tl.load(bias + row, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        products += tl.load(result + token * OUT + row, mask=inside, other=0.0).to(tl.float32)
    tl.store(result + token * OUT + row, products.to(result.dtype.element_ty), mask=inside)
    if CHECK:
        broken = tl.sum((products - products != 0.0).to(tl.int32), axis=0)  # only infinity and NaN differ so
        tl.store(overflow, 1, mask=broken > 0)
