"""What a decode step reads, gathered on the device from the slots' state in one launch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


def prepare(
    slots: Tensor, positions: Tensor, drawn: Tensor, tables: Tensor, deltas: Tensor, block_size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See `kernels.decode_inputs.prepare_decode`; the fields of `DecodeInputs` in order."""
    rows, width = slots.shape[0], tables.shape[1]
    wide = torch.empty(3, rows, dtype=torch.int64, device=slots.device)
    contexts = torch.empty(rows, dtype=torch.int32, device=slots.device)
    gathered = torch.empty(rows, width, dtype=torch.int32, device=slots.device)
    if rows:
        _prepare[(rows, triton.cdiv(width, _BLOCK))](
            slots, positions, drawn, tables, deltas, wide[0], wide[1], wide[2], contexts, gathered, width,
            tables.stride(0), BLOCK_SIZE=block_size, BLOCK=_BLOCK, num_warps=4,
        )  # fmt: skip
    return wide[0], wide[1], wide[2], contexts, gathered


def update(tables: Tensor, updates: Tensor) -> None:
    """See `kernels.decode_inputs.apply_table_updates`."""
    count = updates.shape[0]
    if count:
        _update[(triton.cdiv(count, 256),)](tables, updates, count, tables.stride(0), BLOCK=256, num_warps=4)


@triton.jit(
    do_not_specialize=["slots", "positions", "ids", "turns", "places", "contexts", "gathered", "width", "stride"]
)
def _prepare(
    slots, positions, drawn, tables, deltas, ids, turns, places, contexts, gathered, width, stride,
    BLOCK_SIZE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    slot = tl.load(slots + row).to(tl.int64)
    table = tables + slot * stride
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    tl.store(gathered + row.to(tl.int64) * width + column, tl.load(table + column, mask=inside, other=0), mask=inside)
    if tl.program_id(1) == 0:
        position = tl.load(positions + row)
        tl.store(ids + row, tl.load(drawn + slot))
        tl.store(turns + row, (position + tl.load(deltas + slot)).to(tl.int64))
        block = tl.load(table + position // BLOCK_SIZE).to(tl.int64)
        tl.store(places + row, block * BLOCK_SIZE + position % BLOCK_SIZE)
        tl.store(contexts + row, position + 1)


@triton.jit(do_not_specialize=["updates", "count", "stride"])
def _update(tables, updates, count, stride, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    slot = tl.load(updates + 3 * index, mask=inside, other=-1).to(tl.int64)
    column = tl.load(updates + 3 * index + 1, mask=inside, other=0)
    block = tl.load(updates + 3 * index + 2, mask=inside, other=0)
    tl.store(tables + slot * stride + column, block, mask=slot >= 0)
