"""Attention of packed runs: every run of rows attends to all of itself and to nothing else.

A head is two pieces of columns, the largest power of two and the rest, so that a head of 80 costs 64 + 16 and not 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """How a program is cut: rows of queries, keys at a time, warps, and loads in flight."""

    rows: int
    keys: int
    warps: int
    stages: int


# The first is taken; the others are there to be measured against it
TILINGS = (
    Tiling(128, 64, 4, 3),
    Tiling(128, 128, 8, 2),
    Tiling(64, 128, 4, 2),
    Tiling(64, 64, 4, 3),
    Tiling(128, 64, 8, 3),
    Tiling(128, 128, 4, 2),
)
_FOR_LARGE_HEADS = Tiling(128, 64, 8, 3)


def attend(
    query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], scale: float, tiling: Tiling | None = None
) -> Tensor:
    """[T, heads, d], contiguous, of query, key and value [T, heads, d] with any strides between rows and heads.

    `lengths` sum up to T. 16-bit values, sm80.
    """
    rows, heads, size = query.shape
    tiling = tiling or (TILINGS[0] if size <= 96 else _FOR_LARGE_HEADS)
    output = torch.empty(rows, heads, size, dtype=query.dtype, device=query.device)
    if rows == 0:
        return output
    if query.stride(2) != 1 or key.stride(2) != 1 or value.stride(2) != 1:
        raise ValueError("the values of a head must lie side by side")
    tiles = _tiles(lengths, tiling.rows, query.device)
    wide, narrow = pieces(size)
    _packed[(tiles.shape[0], heads)](
        query, key, value, output, tiles, scale * 1.4426950408889634,
        query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1),
        output.stride(0),
        SIZE=size, WIDE=wide, NARROW=narrow, ROWS=tiling.rows, KEYS=tiling.keys,
        num_warps=tiling.warps, num_stages=tiling.stages,
    )  # fmt: skip
    return output


def pieces(size: int) -> tuple[int, int]:
    """Columns of a head's two pieces: powers of two of at least 16, the second 0 where there is nothing left."""
    wide = max(16, 1 << (size.bit_length() - 1))
    rest = size - wide
    narrow = 0 if rest <= 0 else max(16, triton.next_power_of_2(rest))
    return (wide, narrow) if narrow < wide else (2 * wide, 0)


@lru_cache(maxsize=64)
def _tiles(lengths: tuple[int, ...], rows: int, device: torch.device) -> Tensor:
    """int32 [tiles, 3] on the device: first row and end of the tile's run, first row of the tile.

    The copy is done when this returns, so any stream may read it.
    """
    tiles: list[tuple[int, int, int]] = []
    start = 0
    for length in lengths:
        stop = start + length
        tiles += [(start, stop, first) for first in range(start, stop, rows)]
        start = stop
    return torch.tensor(tiles, dtype=torch.int32).to(device)


@triton.jit
def _packed(
    query, key, value, output, tiles, scale,
    query_stride, query_head, key_stride, key_head, value_stride, value_head, output_stride,
    SIZE: tl.constexpr, WIDE: tl.constexpr, NARROW: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    head = tl.program_id(1)
    start = tl.load(tiles + tile * 3)
    stop = tl.load(tiles + tile * 3 + 1)
    first = tl.load(tiles + tile * 3 + 2)

    row = first + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDE)
    rest = tl.arange(0, NARROW if NARROW > 0 else 16)
    query += head * query_head + row.to(tl.int64)[:, None] * query_stride
    key += head * key_head + start.to(tl.int64) * key_stride
    value += head * value_head + start.to(tl.int64) * value_stride

    present = row[:, None] < stop
    within = columns[None, :] < SIZE
    left = WIDE + rest[None, :] < SIZE
    q = tl.load(query + columns[None, :], mask=present & within, other=0.0)
    q_rest = q
    if NARROW > 0:
        q_rest = tl.load(query + WIDE + rest[None, :], mask=present & left, other=0.0)

    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    sums = tl.zeros([ROWS, WIDE], tl.float32)
    sums_rest = tl.zeros([ROWS, NARROW if NARROW > 0 else 16], tl.float32)
    whole = (stop - start) // KEYS * KEYS
    for begin in range(0, whole, KEYS):
        top, total, sums, sums_rest = _step(
            q, q_rest, key, value, key_stride, value_stride, begin, stop - start, scale, top, total, sums, sums_rest,
            columns, rest, SIZE, WIDE, NARROW, KEYS, False,
        )  # fmt: skip
    if whole < stop - start:
        top, total, sums, sums_rest = _step(
            q, q_rest, key, value, key_stride, value_stride, whole, stop - start, scale, top, total, sums, sums_rest,
            columns, rest, SIZE, WIDE, NARROW, KEYS, True,
        )  # fmt: skip

    share = 1.0 / total
    output += head * SIZE + row.to(tl.int64)[:, None] * output_stride
    tl.store(output + columns[None, :], (sums * share[:, None]).to(output.dtype.element_ty), mask=present & within)
    if NARROW > 0:
        answer = (sums_rest * share[:, None]).to(output.dtype.element_ty)
        tl.store(output + WIDE + rest[None, :], answer, mask=present & left)


@triton.jit
def _step(
    q, q_rest, key, value, key_stride, value_stride, begin, length, scale, top, total, sums, sums_rest,
    columns, rest, SIZE: tl.constexpr, WIDE: tl.constexpr, NARROW: tl.constexpr, KEYS: tl.constexpr,
    LAST: tl.constexpr,
):  # fmt: skip
    """One block of keys. LAST: it may reach past the run, into rows that must not be read."""
    at = begin + tl.arange(0, KEYS)
    here = at[:, None] < length
    k = _load(key + at[:, None] * key_stride + columns[None, :], columns[None, :] < SIZE, here, SIZE < WIDE, LAST)
    scores = tl.dot(q, tl.trans(k))
    if NARROW > 0:
        odd: tl.constexpr = SIZE < WIDE + NARROW
        k_rest = _load(
            key + at[:, None] * key_stride + WIDE + rest[None, :], WIDE + rest[None, :] < SIZE, here, odd, LAST
        )
        scores = tl.dot(q_rest, tl.trans(k_rest), scores)
    if LAST:
        scores = tl.where(at[None, :] < length, scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, axis=1) * scale)
    weights = tl.exp2(scores * scale - higher[:, None])
    fade = tl.exp2(top - higher)
    total = total * fade + tl.sum(weights, axis=1)
    sums = sums * fade[:, None]
    v = _load(value + at[:, None] * value_stride + columns[None, :], columns[None, :] < SIZE, here, SIZE < WIDE, LAST)
    weights = weights.to(v.dtype)
    sums = tl.dot(weights, v, sums)
    if NARROW > 0:
        sums_rest = sums_rest * fade[:, None]
        v_rest = _load(
            value + at[:, None] * value_stride + WIDE + rest[None, :], WIDE + rest[None, :] < SIZE, here, odd, LAST
        )
        sums_rest = tl.dot(weights, v_rest, sums_rest)
    return higher, total, sums, sums_rest


@triton.jit
def _load(pointers, columns, rows, ODD: tl.constexpr, LAST: tl.constexpr):
    """A block of keys or values, with only the masks that it needs."""
    if ODD and LAST:
        return tl.load(pointers, mask=rows & columns, other=0.0)
    if ODD:
        return tl.load(pointers, mask=columns & (rows | True), other=0.0)
    if LAST:
        return tl.load(pointers, mask=rows, other=0.0)
    return tl.load(pointers)
