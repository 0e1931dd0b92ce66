"""Attention of packed runs: every run of rows attends to all of itself and to nothing else.

A head is two pieces of columns, the largest power of two and the rest, so that a head of 80 costs 64 + 16 and not 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from upright.kernels.attention.runs import Runs
from upright.kernels.transfer import sent


@dataclass(frozen=True)
class Tiling:
    """How a program is cut: rows of queries, keys at a time, warps, loads in flight; `bulk`: loads are whole boxes.

    Boxes are copied by a unit of their own, from sm90 on.
    """

    rows: int
    keys: int
    warps: int
    stages: int
    bulk: bool = False


# What is taken, and others that are there to be measured against it
ROWS = 128
_BULK = Tiling(ROWS, 64, 4, 3, bulk=True)
_PLAIN = Tiling(ROWS, 64, 4, 3)
_FOR_LARGE_HEADS = Tiling(ROWS, 64, 8, 3)
_LONG = 2048  # rows of a run
TILINGS = (
    _BULK,
    _PLAIN,
    _FOR_LARGE_HEADS,
    Tiling(128, 128, 8, 2),
    Tiling(64, 128, 4, 2),
    Tiling(64, 64, 4, 3),
    Tiling(128, 64, 4, 2, bulk=True),
    Tiling(128, 64, 4, 4, bulk=True),
    Tiling(128, 64, 8, 3, bulk=True),
    Tiling(128, 32, 4, 4, bulk=True),
    Tiling(64, 64, 4, 3, bulk=True),
    Tiling(64, 64, 4, 2, bulk=True),
    Tiling(64, 64, 4, 4, bulk=True),
    Tiling(64, 128, 4, 2, bulk=True),
    Tiling(64, 32, 4, 4, bulk=True),
)


def attend(query: Tensor, key: Tensor, value: Tensor, runs: Runs, scale: float, tiling: Tiling | None = None) -> Tensor:
    """[T, heads, d], contiguous, of query, key and value [T, heads, d] with any strides between rows and heads.

    The lengths of `runs` sum up to T. 16-bit values, sm80.
    """
    rows, heads, size = query.shape
    tiling = tiling or _tiling(size, runs, query.device)
    output = torch.empty(rows, heads, size, dtype=query.dtype, device=query.device)
    if rows == 0:
        return output
    if query.stride(2) != 1 or key.stride(2) != 1 or value.stride(2) != 1:
        raise ValueError("the values of a head must lie side by side")
    tiles = runs.plan(tiles_plan(tiling.rows), lambda: sent(tiles_of(runs.lengths, tiling.rows), query.device))
    wide, narrow = pieces(size)
    bulk = tiling.bulk and size == wide + narrow and _boxable(key) and _boxable(value)
    boxes = _boxes(key, value, tiling.keys, wide, narrow) if bulk else (None, None, None, None)
    _packed[(tiles.shape[0], heads)](
        query, key, value, output, *boxes, tiles, scale * 1.4426950408889634,
        query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1),
        output.stride(0),
        SIZE=size, WIDE=wide, NARROW=narrow, ROWS=tiling.rows, KEYS=tiling.keys, BULK=bulk,
        num_warps=tiling.warps, num_stages=tiling.stages,
    )  # fmt: skip
    return output


def _tiling(size: int, runs: Runs, device: torch.device) -> Tiling:
    """NOTE: all have the same ROWS, for which the tiles of a CUDA graph are made."""
    if size > 96:
        return _FOR_LARGE_HEADS
    # To describe boxes takes the host 0.1 ms a launch: too long for short runs, but nothing in a graph (no lengths).
    worth_it = not runs.lengths or max(runs.lengths) >= _LONG
    return _BULK if worth_it and _copies_boxes(device) else _PLAIN


@lru_cache
def _copies_boxes(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


def pieces(size: int) -> tuple[int, int]:
    """Columns of a head's two pieces: powers of two of at least 16, the second 0 where there is nothing left."""
    wide = max(16, 1 << (size.bit_length() - 1))
    rest = size - wide
    narrow = 0 if rest <= 0 else max(16, triton.next_power_of_2(rest))
    return (wide, narrow) if narrow < wide else (2 * wide, 0)


def _boxable(values: Tensor) -> bool:
    """Whether the heads of a row lie side by side, and rows begin at multiples of 16 bytes."""
    aligned = values.data_ptr() % 16 == 0 and values.stride(0) * values.itemsize % 16 == 0
    return aligned and values.stride(1) == values.shape[2]


def _boxes(key: Tensor, value: Tensor, keys: int, wide: int, narrow: int) -> tuple[Any, ...]:
    """Keys and values as matrices out of which boxes are copied: keys' two pieces, values' two pieces."""
    rows, heads, size = key.shape
    return tuple(
        TensorDescriptor(x, [rows, heads * size], [x.stride(0), 1], [keys, columns]) if columns else None
        for x in (key, value)
        for columns in (wide, narrow)
    )


def tiles_plan(rows: int) -> str:
    """The name under which runs keep their tiles."""
    return f"triton {rows}"


def tiles_of(lengths: tuple[int, ...], rows: int = ROWS) -> Tensor:
    """int32 [tiles, 3] on the host: first row and end of the tile's run, first row of the tile.

    Tiles of zeros stand for nothing: they fill a list up.
    """
    tiles: list[tuple[int, int, int]] = []
    start = 0
    for length in lengths:
        stop = start + length
        tiles += [(start, stop, first) for first in range(start, stop, rows)]
        start = stop
    return torch.tensor(tiles, dtype=torch.int32).view(-1, 3)


@triton.jit(do_not_specialize=["tiles"])
def _packed(
    query, key, value, output, key_box, key_rest_box, value_box, value_rest_box, tiles, scale,
    query_stride, query_head, key_stride, key_head, value_stride, value_head, output_stride,
    SIZE: tl.constexpr, WIDE: tl.constexpr, NARROW: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    BULK: tl.constexpr,
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
            columns, rest, start, head * SIZE, key_box, key_rest_box, value_box, value_rest_box,
            SIZE, WIDE, NARROW, KEYS, False, BULK,
        )  # fmt: skip
    if whole < stop - start:
        top, total, sums, sums_rest = _step(
            q, q_rest, key, value, key_stride, value_stride, whole, stop - start, scale, top, total, sums, sums_rest,
            columns, rest, start, head * SIZE, key_box, key_rest_box, value_box, value_rest_box,
            SIZE, WIDE, NARROW, KEYS, True, False,
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
    columns, rest, start, left, key_box, key_rest_box, value_box, value_rest_box,
    SIZE: tl.constexpr, WIDE: tl.constexpr, NARROW: tl.constexpr, KEYS: tl.constexpr, LAST: tl.constexpr,
    BULK: tl.constexpr,
):  # fmt: skip
    """One block of keys. LAST: it may reach past the run, into rows that must not be read. BULK: copied as boxes."""
    at = begin + tl.arange(0, KEYS)
    row = at[:, None]
    here = row < length
    near, far = columns[None, :], WIDE + rest[None, :]
    odd: tl.constexpr = NARROW > 0 and SIZE < WIDE + NARROW
    # both pieces are read before either is multiplied, so that the products run into each other
    k = _read(key_box, start + begin, left, key + row * key_stride + near, near < SIZE, here, SIZE < WIDE, LAST, BULK)
    k_rest = k
    if NARROW > 0:
        k_rest = _read(
            key_rest_box, start + begin, left + WIDE, key + row * key_stride + far, far < SIZE, here, odd, LAST, BULK
        )
    scores = tl.dot(q, tl.trans(k))
    if NARROW > 0:
        scores = tl.dot(q_rest, tl.trans(k_rest), scores)
    if LAST:
        scores = tl.where(at[None, :] < length, scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, axis=1) * scale)
    weights = tl.exp2(scores * scale - higher[:, None])
    fade = tl.exp2(top - higher)
    total = total * fade + tl.sum(weights, axis=1)
    sums = sums * fade[:, None]
    v = _read(
        value_box, start + begin, left, value + row * value_stride + near, near < SIZE, here, SIZE < WIDE, LAST, BULK
    )
    weights = weights.to(v.dtype)
    if NARROW > 0:
        sums_rest = sums_rest * fade[:, None]
        v_rest = _read(
            value_rest_box, start + begin, left + WIDE, value + row * value_stride + far, far < SIZE, here, odd, LAST,
            BULK,
        )  # fmt: skip
        sums = tl.dot(weights, v, sums)
        sums_rest = tl.dot(weights, v_rest, sums_rest)
    else:
        sums = tl.dot(weights, v, sums)
    return higher, total, sums, sums_rest


@triton.jit
def _read(
    box, row, column, pointers, columns, rows, ODD: tl.constexpr, LAST: tl.constexpr, BULK: tl.constexpr
):  # fmt: skip
    """A piece of a block of keys or values: a box, or rows with only the masks that they need."""
    if BULK:
        return box.load([row, column])
    elif ODD and LAST:  # noqa: RET505 - the compiler follows branches of constants only in this form
        return tl.load(pointers, mask=rows & columns, other=0.0)
    elif ODD:
        return tl.load(pointers, mask=columns & (rows | True), other=0.0)
    elif LAST:
        return tl.load(pointers, mask=rows, other=0.0)
    else:
        return tl.load(pointers)
