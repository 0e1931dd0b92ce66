"""Causal attention of sequences that bring several tokens, over keys and values read where their blocks lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 128  # queries of a program


@dataclass(frozen=True)
class Tiling:
    """How a program goes through the keys: how many at a time, its warps, loads in flight."""

    keys: int
    warps: int
    stages: int


def tiles(query_lengths: Sequence[int], context_lengths: Sequence[int], sequences: Sequence[int]) -> Tensor:
    """int32 [tiles, 5] on the host, those with most keys first. All that the kernel has to know of a tile: the
    sequence's row in the block tables, the tile's first one of the sequence's new tokens, the sequence's first row in
    the step, its new tokens, and its context, which is all of its tokens in the cache after the step.
    """
    starts = list(accumulate(query_lengths, initial=0))
    entries = [
        (sequence, first, starts[sequence], query_lengths[sequence], context_lengths[sequence])
        for sequence in sequences
        for first in range(0, query_lengths[sequence], ROWS)
    ]
    entries.sort(key=lambda entry: entry[3] - entry[4] - entry[1])
    return torch.tensor(entries, dtype=torch.int32).view(-1, 5)


def attend(query: Tensor, layer: Tensor, block_tables: Tensor, tile_map: Tensor, scale: float, output: Tensor) -> None:
    """Write what the new tokens of the sequences in `tile_map` attend to into their rows of `output`.

    query [T, heads, d] with heads side by side, output [T, heads, d] contiguous; layer [blocks, block_size, 2,
    kv_heads, d]; block_tables int32 [S, most blocks]; tile_map int32 [tiles, 5] as `tiles` makes it, where tiles of
    zeros do nothing. 16-bit values, sm80.
    """
    heads, size = query.shape[1:]
    block_size, _, kv_heads, _ = layer.shape[1:]
    if query.stride(2) != 1 or query.stride(1) != size or not output.is_contiguous() or not layer.is_contiguous():
        raise ValueError("heads must lie side by side, and the output and the cache be contiguous")
    if tile_map.shape[0] == 0:
        return
    padded = max(16, triton.next_power_of_2(size))
    tiling = _tiling(padded)
    _prefill[(tile_map.shape[0], heads)](
        query, layer, block_tables, tile_map, output,
        scale * 1.4426950408889634, query.stride(0), block_tables.stride(0),
        HEADS=heads, KV_HEADS=kv_heads, SIZE=size, SIZE_PADDED=padded, BLOCK_SIZE=block_size,
        ROWS=ROWS, KEYS=tiling.keys, num_warps=tiling.warps, num_stages=tiling.stages,
    )  # fmt: skip


def _tiling(padded: int) -> Tiling:
    if padded <= 64:
        return Tiling(64, 4, 3)
    return Tiling(64, 8, 3) if padded <= 128 else Tiling(32, 8, 2)


@triton.jit(do_not_specialize=["block_tables", "tile_map", "table_stride"])
def _prefill(
    query, layer, block_tables, tile_map, output,
    scale, query_stride, table_stride,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, SIZE: tl.constexpr, SIZE_PADDED: tl.constexpr,
    BLOCK_SIZE: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    head = tl.program_id(1)
    sequence = tl.load(tile_map + tile * 5)
    first = tl.load(tile_map + tile * 5 + 1)
    begin_row = tl.load(tile_map + tile * 5 + 2)
    new = tl.load(tile_map + tile * 5 + 3)
    context = tl.load(tile_map + tile * 5 + 4)
    if new == 0:  # a tile that pads a map of fixed size
        return

    columns = tl.arange(0, SIZE_PADDED)
    within = columns[None, :] < SIZE
    offset = first + tl.arange(0, ROWS)
    present = (offset[:, None] < new) & within
    row = (begin_row + offset).to(tl.int64)
    q = tl.load(query + row[:, None] * query_stride + head * SIZE + columns[None, :], mask=present, other=0.0)
    position = context - new + offset  # of each query among the sequence's tokens

    layer += head // (HEADS // KV_HEADS) * SIZE
    table = block_tables + sequence.to(tl.int64) * table_stride
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    sums = tl.zeros([ROWS, SIZE_PADDED], tl.float32)
    # All rows attend to all of the first `whole` keys
    whole = (context - new + first + 1) // KEYS * KEYS
    stop = tl.minimum(context - new + first + ROWS, context)
    for begin in range(0, whole, KEYS):
        top, total, sums = _block(
            q, layer, table, position, begin, stop, scale, top, total, sums, columns, within,
            KV_HEADS, SIZE, SIZE_PADDED, BLOCK_SIZE, KEYS, False,
        )  # fmt: skip
    for begin in range(whole, stop, KEYS):
        top, total, sums = _block(
            q, layer, table, position, begin, stop, scale, top, total, sums, columns, within,
            KV_HEADS, SIZE, SIZE_PADDED, BLOCK_SIZE, KEYS, True,
        )  # fmt: skip
    answer = (sums / total[:, None]).to(output.dtype.element_ty)
    tl.store(output + row[:, None] * (HEADS * SIZE) + head * SIZE + columns[None, :], answer, mask=present)


@triton.jit
def _block(
    q, layer, table, position, begin, stop, scale, top, total, sums, columns, within,
    KV_HEADS: tl.constexpr, SIZE: tl.constexpr, SIZE_PADDED: tl.constexpr, BLOCK_SIZE: tl.constexpr,
    KEYS: tl.constexpr, CAUSAL: tl.constexpr,
):  # fmt: skip
    """One block of keys. CAUSAL: some rows may not see all of it, and it may reach past the context."""
    at = begin + tl.arange(0, KEYS)
    if CAUSAL:
        block = tl.load(table + at // BLOCK_SIZE, mask=at < stop, other=0)
        wanted = (at[:, None] < stop) & within
    else:
        block = tl.load(table + at // BLOCK_SIZE)
        wanted = (at[:, None] >= 0) & within
    slot = block.to(tl.int64) * BLOCK_SIZE + at % BLOCK_SIZE
    pointers = layer + slot[:, None] * (2 * KV_HEADS * SIZE) + columns[None, :]
    if CAUSAL or SIZE < SIZE_PADDED:  # noqa: SIM108
        k = tl.load(pointers, mask=wanted, other=0.0)
    else:
        k = tl.load(pointers)
    scores = tl.dot(q, tl.trans(k))
    if CAUSAL:
        scores = tl.where(at[None, :] <= position[:, None], scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, axis=1) * scale)
    weights = tl.exp2(scores * scale - higher[:, None])
    fade = tl.exp2(top - higher)
    total = total * fade + tl.sum(weights, axis=1)
    sums = sums * fade[:, None]
    if CAUSAL or SIZE < SIZE_PADDED:
        v = tl.load(pointers + KV_HEADS * SIZE, mask=wanted, other=0.0)
    else:
        v = tl.load(pointers + KV_HEADS * SIZE)
    sums = tl.dot(weights.to(v.dtype), v, sums)
    return higher, total, sums
