"""Attention of one new token a sequence over its blocks, with the contexts cut into splits that fill the device.

A program takes all query heads that share a key head, and one split of one context. How long a split is follows from
the context, which only the device knows; programs without work end at once. What the splits found is put together by
the last of them to finish, so a layer is one launch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from upright.kernels.triton import early

_PROGRAMS_PER_PROCESSOR = 4
_MOST_SPLITS = 32
_MANY_PAIRS = 100  # programs that keep a device busy without being split
_TOGETHER = 8192  # values that the last program reads at once
_ELEMENTS = 8192  # of the widest intermediate without matrix instructions: group × tile × head size


@dataclass(frozen=True)
class Workspace:
    """What the splits of a step leave for each other; a step's layers use the same one after another."""

    pairs: int  # of a sequence and a key head, that contexts are cut for
    splits: int
    sums: Tensor  # float32 [sequences, kv_heads, splits, group, d]: weighted values
    tops: Tensor  # float32 [sequences, kv_heads, splits, 2, group]: largest score, and sum of weights
    arrived: Tensor  # int32 [sequences, kv_heads]: 0 between launches


def workspace(
    sequences: int, heads: int, kv_heads: int, size: int, longest: int, device: torch.device,
    splits_for: int | None = None,
) -> Workspace:  # fmt: skip
    """For contexts of at most `longest` tokens, cut as for `splits_for` sequences where most are padding."""
    pairs = (sequences if splits_for is None else splits_for) * kv_heads
    splits = count_splits(pairs, longest, processors_of(device))
    group = heads // kv_heads
    return Workspace(
        pairs,
        splits,
        torch.empty(sequences, kv_heads, splits, group, size, dtype=torch.float32, device=device),
        torch.empty(sequences, kv_heads, splits, 2, group, dtype=torch.float32, device=device),
        torch.zeros(sequences, kv_heads, dtype=torch.int32, device=device),
    )


def count_splits(pairs: int, longest: int, processors: int) -> int:
    """Into how many parts to cut each of `pairs` contexts: a power of two that gives every processor a few programs."""
    wanted = processors * _PROGRAMS_PER_PROCESSOR // max(1, pairs)
    useful = -(-longest // 64)
    splits: int = min(_MOST_SPLITS, 1 << max(0, wanted.bit_length() - 1), triton.next_power_of_2(useful))
    return splits


@dataclass(frozen=True)
class Turn:
    """What is to be done with rows of queries, keys and values first: see `kernels.kv_store.rotate_and_store`."""

    bias: Tensor | None
    cosine: Tensor  # float32 [T, 1, d]
    sine: Tensor  # likewise, signed
    slots: Tensor  # int64 [T]


def attend(
    query: Tensor, layer: Tensor, block_tables: Tensor, contexts: Tensor, scale: float, work: Workspace,
    output: Tensor, rows: Tensor | None = None, sequences: Tensor | None = None, matrix: bool = True,
    turn: Turn | None = None,
) -> None:  # fmt: skip
    """Write what one token of each sequence attends to into `output`.

    query [T, heads, d] with heads side by side and output [T, heads, d] contiguous; layer [blocks, block_size, 2,
    kv_heads, d]; block_tables int32 [S, most blocks], contexts int32 [S]. Entry i of `rows` int32 [N] and of
    `sequences` int32 [N] say which row belongs to which sequence; without them row i belongs to sequence i. A sequence
    of no context gets zeros. `matrix` uses matrix instructions, which need 16-bit values and sm80. With `turn`, rows
    of keys and of values lie behind those of the queries, nothing of this is turned yet, and the newest keys and values
    are written to `layer` before they are attended to; there are no `rows` then.
    """
    heads, size = query.shape[1:]
    block_size, _, kv_heads, _ = layer.shape[1:]
    if turn is not None and (rows is not None or not turn.cosine.is_contiguous() or not turn.sine.is_contiguous()):
        raise ValueError("only a row for each sequence can be turned, by contiguous cosines and sines")
    if query.stride(2) != 1 or query.stride(1) != size or not output.is_contiguous() or not layer.is_contiguous():
        raise ValueError("heads must lie side by side, and the output and the cache be contiguous")
    count = contexts.shape[0] if sequences is None else sequences.shape[0]
    if count == 0:
        return
    group = heads // kv_heads
    padded = max(16 if matrix else 1, triton.next_power_of_2(size))  # a matrix instruction multiplies 16 at least
    group_padded = max(16 if matrix else 1, triton.next_power_of_2(group))
    cut = _cut(work.pairs, group, padded, matrix)
    together = max(1, min(16, _TOGETHER // (group_padded * padded)))
    _decode[(count, kv_heads, work.splits)](
        query, layer, block_tables, contexts, rows, sequences, output, work.sums, work.tops, work.arrived,
        *((turn.bias, turn.cosine, turn.sine, turn.slots) if turn is not None else (None,) * 4),
        scale * 1.4426950408889634, query.stride(0), block_tables.stride(0), work.splits,
        KV_HEADS=kv_heads, GROUP=group, GROUP_PADDED=group_padded,
        SIZE=size, SIZE_PADDED=padded, LINES=max(1, padded * layer.element_size() // 128), BLOCK_SIZE=block_size,
        TILE=cut.tile, TOGETHER=together,
        TURNED=turn is not None, BIASED=turn is not None and turn.bias is not None,
        LISTED=rows is not None, MATRIX=matrix, LEAST=cut.least, num_warps=cut.warps, num_stages=cut.stages,
        **early.options(query.device),
    )  # fmt: skip


class Cut(NamedTuple):
    """How a context is cut: tokens that are read at once, the fewest such tiles of a split, warps, loads in flight."""

    tile: int
    least: int
    warps: int
    stages: int


def _cut(pairs: int, group: int, padded: int, matrix: bool) -> Cut:
    """For `pairs` of a sequence and a key head. Measured on an H100: where programs are few, each reads much at once;
    where they fill the device, many small ones keep more loads in flight. Putting splits together costs 4 to 8 µs, so
    short contexts are not split.
    """
    if not matrix:
        return Cut(max(4, min(64, _ELEMENTS // padded // triton.next_power_of_2(group))), 1, 4, 2)
    if padded > 128:
        return Cut(32, 4, 4, 2)
    return Cut(128, 2, 4, 2) if pairs < _MANY_PAIRS else Cut(16, 4, 1, 3)


@lru_cache
def processors_of(device: torch.device) -> int:
    """Multiprocessors of a GPU, by which grids are cut; 4 where there is none, for Triton's interpreter."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


@triton.jit(
    do_not_specialize=[
        "block_tables", "contexts", "rows", "sequences", "arrived", "slots", "query_stride", "table_stride", "splits",
    ]
)  # fmt: skip
def _decode(
    query, layer, block_tables, contexts, rows, sequences, output, sums, tops, arrived, bias, cosine, sine, slots,
    scale, query_stride, table_stride, splits,
    KV_HEADS: tl.constexpr, GROUP: tl.constexpr, GROUP_PADDED: tl.constexpr,
    SIZE: tl.constexpr, SIZE_PADDED: tl.constexpr, LINES: tl.constexpr, BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr, TOGETHER: tl.constexpr, TURNED: tl.constexpr, BIASED: tl.constexpr,
    LISTED: tl.constexpr, MATRIX: tl.constexpr, LEAST: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    row = number
    sequence = number
    if LISTED:
        row = tl.load(rows + number, cache_modifier=".cg")
        sequence = tl.load(sequences + number, cache_modifier=".cg")
    context = tl.load(contexts + sequence, cache_modifier=".cg")
    # Splits of equal whole tiles, of at least LEAST; only the first `used` of them have work
    share = tl.maximum(tl.cdiv(tl.cdiv(context, TILE), splits), LEAST) * TILE
    used = tl.maximum(tl.cdiv(context, tl.maximum(share, 1)), 1)
    if split >= used:
        return
    start = split * share
    stop = tl.minimum(start + share, context)

    heads = tl.arange(0, GROUP_PADDED)
    columns = tl.arange(0, SIZE_PADDED)
    tokens = tl.arange(0, TILE)
    here = (heads[:, None] < GROUP) & (columns[None, :] < SIZE)
    place = (kv_head * GROUP + heads[:, None]) * SIZE + columns[None, :]
    table = block_tables + sequence.to(tl.int64) * table_stride
    position = start + tokens
    block = tl.load(table + position // BLOCK_SIZE, mask=position < stop, other=0, cache_modifier=".cg")
    if EARLY:
        # Where sequences lie was written before the step's first layer; only the query, and the newest key and value,
        # are the predecessor's
        slot = block.to(tl.int64) * BLOCK_SIZE + position % BLOCK_SIZE
        line = tl.arange(0, LINES) * (SIZE_PADDED // LINES)
        first = layer + (slot[:, None] * (2 * KV_HEADS) + kv_head) * SIZE + tl.minimum(line, SIZE - 1)[None, :]
        early.prefetch(first)
        early.prefetch(first + KV_HEADS * SIZE)
        gdc_wait()
        gdc_launch_dependents()
    own = query + row.to(tl.int64) * query_stride
    if TURNED:
        c = tl.load(cosine + row.to(tl.int64) * SIZE + columns, mask=columns < SIZE, other=1.0)
        s = tl.load(sine + row.to(tl.int64) * SIZE + columns, mask=columns < SIZE, other=0.0)
        if split == used - 1:  # to which the newest token belongs
            key, value = KV_HEADS * GROUP + kv_head, KV_HEADS * (GROUP + 1) + kv_head
            one = columns < SIZE
            new_key = _turned(own, bias, key * SIZE, columns, one, c, s, SIZE, BIASED)
            new_value = tl.load(own + value * SIZE + columns, mask=one, other=0.0).to(tl.float32)
            if BIASED:
                new_value += tl.load(bias + value * SIZE + columns, mask=one, other=0.0).to(tl.float32)
            home = tl.load(slots + row).to(tl.int64)
            kept = layer + (home * (2 * KV_HEADS) + kv_head) * SIZE + columns
            tl.store(kept, new_key.to(layer.dtype.element_ty), mask=one & (home >= 0))
            tl.store(kept + KV_HEADS * SIZE, new_value.to(layer.dtype.element_ty), mask=one & (home >= 0))
            tl.debug_barrier()  # all of the program may read them now
        group = (kv_head * GROUP + heads[:, None]) * SIZE
        q = _turned(own, bias, group, columns[None, :], here, c[None, :], s[None, :], SIZE, BIASED)
        q = q.to(query.dtype.element_ty)
    else:
        q = tl.load(own + place, mask=here, other=0.0)
    if not MATRIX:
        q = q.to(tl.float32)

    top = tl.full([GROUP_PADDED], float("-inf"), tl.float32)
    total = tl.zeros([GROUP_PADDED], tl.float32)
    gathered = tl.zeros([GROUP_PADDED, SIZE_PADDED], tl.float32)
    for begin in range(start, stop, TILE):
        position = begin + tokens
        inside = position < stop
        slot = block.to(tl.int64) * BLOCK_SIZE + position % BLOCK_SIZE
        at = layer + (slot[:, None] * (2 * KV_HEADS) + kv_head) * SIZE + columns[None, :]
        wanted = inside[:, None] & (columns[None, :] < SIZE)
        k = tl.load(at, mask=wanted, other=0.0)
        v = tl.load(at + KV_HEADS * SIZE, mask=wanted, other=0.0)
        # the next tile's blocks, so that its keys need not wait for them
        block = tl.load(table + (position + TILE) // BLOCK_SIZE, mask=position + TILE < stop, other=0)
        if MATRIX:
            scores = tl.dot(q, tl.trans(k)) * scale
        else:
            scores = tl.sum(q[:, None, :] * k.to(tl.float32)[None, :, :], axis=2) * scale
        scores = tl.where(inside[None, :], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, axis=1))  # finite: every tile holds a token of the context
        weights = tl.exp2(scores - higher[:, None])
        fade = tl.exp2(top - higher)
        total = total * fade + tl.sum(weights, axis=1)
        gathered = gathered * fade[:, None]
        if MATRIX:
            gathered = tl.dot(weights.to(v.dtype), v, gathered)
        else:
            gathered += tl.sum(weights[:, :, None] * v.to(tl.float32)[None, :, :], axis=1)
        top = higher

    answer = output + row.to(tl.int64) * (KV_HEADS * GROUP * SIZE) + place
    if used == 1:
        whole = gathered / tl.where(total == 0.0, 1.0, total)[:, None]
        tl.store(answer, whole.to(output.dtype.element_ty), mask=here)
        return

    pair = number * KV_HEADS + kv_head
    mine = (pair * splits + split).to(tl.int64)
    inner = heads[:, None] * SIZE + columns[None, :]
    tl.store(sums + mine * (GROUP * SIZE) + inner, gathered, mask=here)
    tl.store(tops + mine * (2 * GROUP) + heads, top, mask=heads < GROUP)
    tl.store(tops + mine * (2 * GROUP) + GROUP + heads, total, mask=heads < GROUP)
    tl.debug_barrier()  # all of the program's stores come before its arrival
    before = tl.atomic_add(arrived + pair, 1, sem="acq_rel", scope="gpu")
    if before != used - 1:
        return
    tl.store(arrived + pair, 0)

    # The last to arrive: all splits' results are in memory
    top = tl.full([GROUP_PADDED], float("-inf"), tl.float32)
    total = tl.zeros([GROUP_PADDED], tl.float32)
    gathered = tl.zeros([GROUP_PADDED, SIZE_PADDED], tl.float32)
    lanes = tl.arange(0, TOGETHER)
    for first in range(0, used, TOGETHER):
        part = first + lanes
        there = (pair * splits + part).to(tl.int64)
        known = (part[:, None] < used) & (heads[None, :] < GROUP)
        tops_at = tops + there[:, None] * (2 * GROUP) + heads[None, :]
        their_top = tl.load(tops_at, mask=known, other=float("-inf"), cache_modifier=".cg")
        their_total = tl.load(tops_at + GROUP, mask=known, other=0.0, cache_modifier=".cg")
        theirs = tl.load(
            sums + there[:, None, None] * (GROUP * SIZE) + inner[None, :, :],
            mask=(part[:, None, None] < used) & here[None, :, :], other=0.0, cache_modifier=".cg",
        )  # fmt: skip
        higher = tl.maximum(top, tl.max(their_top, axis=0))
        finite = tl.where(higher == float("-inf"), 0.0, higher)  # of the heads that pad the group
        fade = tl.exp2(top - finite)
        weights = tl.exp2(their_top - finite[None, :])
        total = total * fade + tl.sum(weights * their_total, axis=0)
        gathered = gathered * fade[:, None] + tl.sum(weights[:, :, None] * theirs, axis=0)
        top = higher
    whole = gathered / tl.where(total == 0.0, 1.0, total)[:, None]
    tl.store(answer, whole.to(output.dtype.element_ty), mask=here)


@triton.jit
def _turned(own, bias, first, columns, here, c, s, SIZE: tl.constexpr, BIASED: tl.constexpr):
    """Heads, float32, that begin at `first` of a row, turned by cosines `c` and signed sines `s` of their columns."""
    place = first + columns
    swapped = first + tl.where(columns < SIZE // 2, columns + SIZE // 2, columns - SIZE // 2)
    x = tl.load(own + place, mask=here, other=0.0).to(tl.float32)
    y = tl.load(own + swapped, mask=here, other=0.0).to(tl.float32)
    if BIASED:
        x += tl.load(bias + place, mask=here, other=0.0).to(tl.float32)
        y += tl.load(bias + swapped, mask=here, other=0.0).to(tl.float32)
    return x * c + y * s
