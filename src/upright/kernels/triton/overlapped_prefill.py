"""As `paged_prefill`, for compute capability 9.x alone: written out warp by warp, where no compiler has to overlap it.

One warp fetches keys and values, and two groups of four warps take 64 queries each. While a group's products of weights
and values run, the same group works out the next weights; and while it does nothing but that, the matrix unit is the
other group's. After FlashAttention-3, https://arxiv.org/abs/2407.08608, sections 3.1 and 3.2. Keys and values are
fetched where they lie, by the unit that copies boxes: one is as much of a head as a block of the cache holds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from upright.kernels.triton.paged_decode import processors_of

_ROWS = gl.constexpr(64)  # queries of a group: of a matrix instruction. Two groups make up a tile.
_KEYS = gl.constexpr(128)  # at a time
_STAGES = gl.constexpr(2)  # times that many keys, and as many values, in flight
_COLUMNS = gl.constexpr(64)  # of a box, whose rows have 128 bytes: as shared memory is laid out for matrix instructions
_TYPES = {torch.bfloat16: gl.bfloat16, torch.float16: gl.float16}
# Registers of a thread: as many as there are for 12 warps, of which 4 stand for the one that fetches; and their shares
_REGISTERS = 168
_FOR_A_GROUP, _FOR_FETCHING = gl.constexpr(240), gl.constexpr(24)


def serves(layer: Tensor) -> bool:
    """layer [blocks, block_size, 2, kv_heads, d]: 16-bit values, heads of 64 or 128, and blocks that fill up a tile of
    keys and whose rows come in eights, as shared memory is laid out.
    """
    block_size, size = layer.shape[1], layer.shape[4]
    fitting = block_size % 8 == 0 and _KEYS.value % block_size == 0
    return layer.dtype in _TYPES and size in (64, 128) and fitting


def attend(
    query: Tensor, layer: Tensor, block_tables: Tensor, tile_map: Tensor, scale: float, output: Tensor
) -> None:  # fmt: skip
    """As `paged_prefill.attend`, for a layer that it `serves`."""
    heads, size = query.shape[1:]
    if query.stride(2) != 1 or query.stride(1) != size or not output.is_contiguous() or not layer.is_contiguous():
        raise ValueError("heads must lie side by side, and the output and the cache be contiguous")
    if tile_map.shape[0] == 0:
        return
    items = tile_map.shape[0] * heads
    # Each program lasts for many items, and fetches for the next one before it is done with one
    _overlapped[(min(items, processors_of(query.device)),)](
        query, _boxes(layer), block_tables, tile_map, output,
        scale * 1.4426950408889634, query.stride(0), block_tables.stride(0), items,
        HEADS=heads, KV_HEADS=layer.shape[3], SIZE=size, BLOCK_SIZE=layer.shape[1],
        num_warps=4, maxnreg=_REGISTERS,
    )  # fmt: skip


def _boxes(layer: Tensor) -> Any:
    """What boxes of a block's rows are fetched from."""
    blocks, block_size = layer.shape[:2]
    columns = layer[0, 0].numel()
    box = [block_size, _COLUMNS.value]
    layout = gl.NVMMASharedLayout.get_default_for(box, _TYPES[layer.dtype])
    return TensorDescriptor(layer, [blocks * block_size, columns], [columns, 1], box, layout)


@gluon.jit(do_not_specialize=["block_tables", "tile_map", "table_stride", "items"])
def _overlapped(
    query, cache_box, block_tables, tile_map, output, scale, query_stride, table_stride, items,
    HEADS: gl.constexpr, KV_HEADS: gl.constexpr, SIZE: gl.constexpr, BLOCK_SIZE: gl.constexpr,
):  # fmt: skip
    buffers, barriers, cleared = _prepare(cache_box.dtype, SIZE)
    tensors = (query, tile_map, output)
    numbers = (scale, query_stride, items)
    tables = (block_tables, table_stride)
    gl.warp_specialize(
        [
            (_group, (tensors, numbers, buffers, barriers, cleared, 0, HEADS, SIZE)),
            (_group, (tensors, numbers, buffers, barriers, cleared, 1, HEADS, SIZE)),
            (_fetch, (cache_box, tables, tile_map, items, buffers, barriers, HEADS, KV_HEADS, SIZE, BLOCK_SIZE)),
        ],
        [4, 1],
        [_FOR_A_GROUP, _FOR_FETCHING],
    )


@gluon.jit
def _prepare(dtype: gl.constexpr, SIZE: gl.constexpr):
    """Shared memory: buffers of queries, keys and values, and the barriers that tell what is there and what is used."""
    queries = gl.allocate_shared_memory(
        dtype, [2, _ROWS, SIZE], gl.NVMMASharedLayout.get_default_for([_ROWS, SIZE], dtype)
    )
    keys = gl.allocate_shared_memory(
        dtype, [_STAGES, _KEYS, SIZE], gl.NVMMASharedLayout.get_default_for([_KEYS, SIZE], dtype)
    )
    values = gl.allocate_shared_memory(
        dtype, [_STAGES, _KEYS, SIZE], gl.NVMMASharedLayout.get_default_for([_KEYS, SIZE], dtype)
    )
    keys_there = gl.allocate_shared_memory(gl.int64, [_STAGES, 1], mbarrier.MBarrierLayout())
    keys_used = gl.allocate_shared_memory(gl.int64, [_STAGES, 1], mbarrier.MBarrierLayout())
    values_there = gl.allocate_shared_memory(gl.int64, [_STAGES, 1], mbarrier.MBarrierLayout())
    values_used = gl.allocate_shared_memory(gl.int64, [_STAGES, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(_STAGES):
        mbarrier.init(keys_there.index(stage), count=1)
        mbarrier.init(values_there.index(stage), count=1)
        mbarrier.init(keys_used.index(stage), count=2)
        mbarrier.init(values_used.index(stage), count=2)
    cleared = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    mbarrier.init(cleared, count=1)
    fence_async_shared()
    return (queries, keys, values), (keys_there, keys_used, values_there, values_used), cleared


@gluon.jit
def _place(turn, items, tile_map, HEADS: gl.constexpr):
    """This program's item of that turn: its head, the five numbers of its tile, and its blocks of keys.

    All heads of the longest tile come first. Every other turn goes backwards, so that no program has the longer ones
    each time.
    """
    programs = gl.num_programs(0)
    program = gl.program_id(0)
    item = turn * programs + gl.where(turn % 2 == 0, program, programs - 1 - program)
    tile = gl.minimum(item, items - 1) // HEADS
    sequence = gl.load(tile_map + tile * 5)
    first = gl.load(tile_map + tile * 5 + 1)
    begin_row = gl.load(tile_map + tile * 5 + 2)
    new = gl.load(tile_map + tile * 5 + 3)
    context = gl.load(tile_map + tile * 5 + 4)
    stop = gl.minimum(context - new + first + 2 * _ROWS, context)
    blocks = gl.where(item < items, (stop + _KEYS - 1) // _KEYS, 0)
    return item % HEADS, sequence, first, begin_row, new, context, blocks


@gluon.jit
def _fetch(
    cache_box, tables, tile_map, items, buffers, barriers,
    HEADS: gl.constexpr, KV_HEADS: gl.constexpr, SIZE: gl.constexpr, BLOCK_SIZE: gl.constexpr,
):  # fmt: skip
    """The warp that fetches keys and values, as soon as both groups are done with what lay there before."""
    block_tables, table_stride = tables
    _queries, keys, values = buffers
    keys_there, keys_used, values_there, values_used = barriers
    done = 0  # blocks, of all items
    for turn in range(gl.cdiv(items, gl.num_programs(0))):
        head, sequence, _first, _row, _new, context, blocks = _place(turn, items, tile_map, HEADS)
        table = block_tables + sequence.to(gl.int64) * table_stride
        last = (context - 1) // BLOCK_SIZE
        key_column = head // (HEADS // KV_HEADS) * SIZE
        for block in range(blocks):
            stage = done % _STAGES
            parity = done // _STAGES & 1
            # Looked up before it waits, when there is time. Past the context it is the last block again.
            rows = ()
            for piece in gl.static_range(_KEYS // BLOCK_SIZE):
                number = gl.minimum(block * (_KEYS // BLOCK_SIZE) + piece, last)
                rows = rows + (gl.load(table + number) * BLOCK_SIZE,)  # type: ignore[assignment]  # noqa: RUF005
            mbarrier.wait(keys_used.index(stage), parity ^ 1)
            mbarrier.expect(keys_there.index(stage), _KEYS * SIZE * 2)
            _fetch_blocks(cache_box, rows, key_column, keys_there.index(stage), keys.index(stage), SIZE)
            mbarrier.wait(values_used.index(stage), parity ^ 1)
            mbarrier.expect(values_there.index(stage), _KEYS * SIZE * 2)
            value_column = key_column + KV_HEADS * SIZE
            _fetch_blocks(cache_box, rows, value_column, values_there.index(stage), values.index(stage), SIZE)
            done += 1


@gluon.jit
def _fetch_blocks(cache_box, rows, column, there, buffer, SIZE: gl.constexpr):
    """As many rows as a tile has keys, of SIZE columns, of blocks that begin at `rows`.

    In shared memory a matrix is its first 64 columns, row by row, and then the next 64.
    """
    block_size: gl.constexpr = _KEYS // len(rows)
    halves = buffer._reinterpret(cache_box.dtype, [SIZE // _COLUMNS * _KEYS, _COLUMNS], cache_box.layout)
    for piece in gl.static_range(_KEYS // block_size):
        for half in gl.static_range(SIZE // _COLUMNS):
            place = halves.slice(half * _KEYS + piece * block_size, block_size)
            tma.async_copy_global_to_shared(cache_box, [rows[piece], column + half * _COLUMNS], there, place)


@gluon.jit
def _group(
    tensors, numbers, buffers, barriers, cleared, WHICH: gl.constexpr,
    HEADS: gl.constexpr, SIZE: gl.constexpr,
):  # fmt: skip
    """Four warps with 64 queries."""
    query, tile_map, output = tensors
    scale, query_stride, items = numbers
    queries, keys, values = buffers
    keys_there, keys_used, values_there, values_used = barriers
    dtype: gl.constexpr = queries.dtype
    across: gl.constexpr = SIZE // 8  # threads that a row of 16-byte pieces takes
    rows_layout: gl.constexpr = gl.BlockedLayout([1, 8], [32 // across, across], [4, 1], [1, 0])
    scores_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, _KEYS, 16])
    sums_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, SIZE, 16])
    weights_layout: gl.constexpr = gl.DotOperandLayout(0, sums_layout, 2)
    own = queries.index(WHICH)

    done = 0  # blocks, of all items
    clears = 0  # last blocks that the context does not fill
    place, present = _rows(query, query_stride, 0, items, tile_map, WHICH, HEADS, SIZE, rows_layout)
    q = gl.load(place, mask=present, other=0.0)
    for turn in range(gl.cdiv(items, gl.num_programs(0))):
        _head, _sequence, first, _row, new, context, blocks = _place(turn, items, tile_map, HEADS)
        if blocks > 0:
            own.store(q)
            fence_async_shared()

            at = gl.arange(0, _KEYS, gl.SliceLayout(0, scores_layout))
            position = context - new + first + WHICH * _ROWS
            position += gl.arange(0, _ROWS, gl.SliceLayout(1, scores_layout))
            nothing = gl.zeros([_ROWS, _KEYS], gl.float32, scores_layout)
            mbarrier.wait(keys_there.index(done % _STAGES), done // _STAGES & 1)
            scores = warpgroup_mma(own, keys.index(done % _STAGES).permute([1, 0]), nothing, use_acc=False)
            mbarrier.arrive(keys_used.index(done % _STAGES))
            # Every query sees the first key, so that from here on no maximum is that of nothing
            scores = gl.where(at[None, :] <= position[:, None], scores, float("-inf"))
            top = gl.max(scores, 1) * scale
            weights = gl.exp2(scores * scale - top[:, None])
            total = gl.sum(weights, 1)
            fade = gl.full([_ROWS], 1.0, gl.float32, gl.SliceLayout(1, scores_layout))
            sums = gl.zeros([_ROWS, SIZE], gl.float32, sums_layout)
            mbarrier.wait(keys_there.index((done + 1) % _STAGES), (done + 1) // _STAGES & 1, pred=blocks > 1)

            # Of the first `whole` blocks, all rows of both groups see all
            whole = gl.maximum((context - new + first + 1) // _KEYS, 1)
            for block in range(1, whole):
                top, total, sums, weights, fade = _step(
                    own, keys, values, barriers, block, blocks, done + block, position, scale,
                    top, total, sums, weights, fade, SIZE, False,
                )  # fmt: skip
            for block in range(whole, blocks):
                top, total, sums, weights, fade = _step(
                    own, keys, values, barriers, block, blocks, done + block, position, scale,
                    top, total, sums, weights, fade, SIZE, True,
                )  # fmt: skip
            done += blocks
            last = done - 1
            # Those of the next item, which come while this one ends
            place, present = _rows(query, query_stride, turn + 1, items, tile_map, WHICH, HEADS, SIZE, rows_layout)
            q = gl.load(place, mask=present, other=0.0)
            mbarrier.wait(values_there.index(last % _STAGES), last // _STAGES & 1)
            filled = context - (blocks - 1) * _KEYS
            if filled < _KEYS:
                if WHICH == 0:
                    _clear(values.index(last % _STAGES), filled, rows_layout)
                    mbarrier.arrive(cleared)
                else:
                    mbarrier.wait(cleared, clears & 1)
                clears += 1
            weights = gl.convert_layout(weights.to(dtype), weights_layout)
            sums = sums * gl.convert_layout(fade, gl.SliceLayout(1, sums_layout))[:, None]
            sums = warpgroup_mma(weights, values.index(last % _STAGES), sums)
            mbarrier.arrive(values_used.index(last % _STAGES))

            share = gl.convert_layout(1.0 / total, gl.SliceLayout(1, sums_layout))
            own.store((sums * share[:, None]).to(dtype))  # from where rows are written whole
            place, present = _rows(output, HEADS * SIZE, turn, items, tile_map, WHICH, HEADS, SIZE, rows_layout)
            gl.store(place, own.load(rows_layout), mask=present)


@gluon.jit
def _rows(
    tensor, stride, turn, items, tile_map,
    WHICH: gl.constexpr, HEADS: gl.constexpr, SIZE: gl.constexpr, layout: gl.constexpr,
):  # fmt: skip
    """Where a group's 64 rows of that turn's item lie, and which of them there are. Looked up when they are wanted, as
    it would take registers in the meantime.
    """
    head, _sequence, first, begin_row, new, _context, blocks = _place(turn, items, tile_map, HEADS)
    columns = gl.arange(0, SIZE, gl.SliceLayout(0, layout))
    offset = first + WHICH * _ROWS + gl.arange(0, _ROWS, gl.SliceLayout(1, layout))
    row = (begin_row + offset).to(gl.int64)
    present = (offset < gl.where(blocks > 0, new, 0))[:, None] & (columns >= 0)[None, :]
    return tensor + row[:, None] * stride + (head * SIZE + columns)[None, :], present


@gluon.jit
def _clear(values, there, layout: gl.constexpr):
    """Zeros for the rows from `there` on, past the context, where the cache holds whatever lies there: a weight of zero
    times a NaN is NaN.
    """
    row = gl.arange(0, values.shape[0], gl.SliceLayout(1, layout))
    values.store(gl.where((row < there)[:, None], values.load(layout), 0.0).to(values.dtype))
    fence_async_shared()
    gl.thread_barrier()  # all of the group have written before anybody is told


@gluon.jit
def _step(
    own, keys, values, barriers, block, blocks, number, position, scale, top, total, sums, weights, fade,
    SIZE: gl.constexpr, CAUSAL: gl.constexpr,
):  # fmt: skip
    """Block `block` of an item's keys, the `number`-th of all, and meanwhile the products with the values before it.

    CAUSAL: some rows may not see all of it, or none.
    """
    keys_there, keys_used, values_there, values_used = barriers
    scores_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, _KEYS, 16])
    sums_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, SIZE, 16])
    stage = number % _STAGES
    earlier = (number - 1) % _STAGES
    nothing = gl.zeros([_ROWS, _KEYS], gl.float32, scores_layout)
    scores = warpgroup_mma(own, keys.index(stage).permute([1, 0]), nothing, use_acc=False, is_async=True)
    rounded = gl.convert_layout(weights.to(keys.dtype), gl.DotOperandLayout(0, sums_layout, 2))
    sums = sums * gl.convert_layout(fade, gl.SliceLayout(1, sums_layout))[:, None]
    mbarrier.wait(values_there.index(earlier), (number - 1) // _STAGES & 1)
    sums = warpgroup_mma(rounded, values.index(earlier), sums, is_async=True)
    scores = warpgroup_mma_wait(1, deps=[scores])
    mbarrier.arrive(keys_used.index(stage))
    if CAUSAL:
        at = block * _KEYS + gl.arange(0, _KEYS, gl.SliceLayout(0, scores_layout))
        scores = gl.where(at[None, :] <= position[:, None], scores, float("-inf"))
    higher = gl.maximum(top, gl.max(scores, 1) * scale)
    weights = gl.exp2(scores * scale - higher[:, None])
    fade = gl.exp2(top - higher)
    total = total * fade + gl.sum(weights, 1)
    # Whoever waits here also keeps the compiler from waiting for the products before it works out the weights
    following = number + 1
    mbarrier.wait(keys_there.index(following % _STAGES), following // _STAGES & 1, pred=block + 1 < blocks)
    sums = warpgroup_mma_wait(0, deps=[sums])
    mbarrier.arrive(values_used.index(earlier))
    return higher, total, sums, weights, fade
