"""Attention through torch's scaled_dot_product_attention, which picks a fused kernel for the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.runs import Runs


@dataclass(frozen=True)
class _Decode:
    """All sequences that bring one token, served together: rows of the query, and the slots of their contexts.

    A single contiguous sequence has `slots` None and is sliced. Padding repeats the sequence's own first slot, so that
    no slot is read that nobody wrote: what is in there could be infinite, and a mask does not stop that.
    """

    rows: slice | Tensor
    start: int  # first slot of the slice
    context: int  # longest
    slots: Tensor | None  # int64 [S * context]
    mask: Tensor | None  # bool [S, 1, 1, context]; None when no sequence is padded


@dataclass(frozen=True)
class _Prefill:
    """One sequence that brings several tokens."""

    rows: slice
    start: int
    context: int
    slots: Tensor | None  # int64 [context]; None when they are contiguous from `start`
    mask: Tensor | None  # bool [new, context]; None when all of the context is new


@dataclass(frozen=True)
class _Plan:
    decode: _Decode | None
    prefills: tuple[_Prefill, ...]


def _declines(need: AttentionNeed) -> str | None:
    if need.device_type not in ("cpu", "cuda"):
        return f"not tried on {need.device_type}"
    return None


def paged(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float) -> Tensor:
    block_size = layer.shape[1]
    plan = batch.plan("sdpa", lambda batch: _make_plan(batch, block_size))
    tokens = layer.view(-1, 2, *layer.shape[3:])  # [slots, 2, kv_heads, d]
    if plan.decode is not None and not plan.prefills:
        return _decode(query, tokens, plan.decode, scale)
    output = torch.empty_like(query, memory_format=torch.contiguous_format)
    if plan.decode is not None:
        output[plan.decode.rows] = _decode(query[plan.decode.rows], tokens, plan.decode, scale)
    for part in plan.prefills:
        output[part.rows] = _prefill(query[part.rows], tokens, part, scale)
    return output


def packed(query: Tensor, key: Tensor, value: Tensor, runs: Runs, scale: float) -> Tensor:
    lengths = runs.lengths
    output = torch.empty_like(query, memory_format=torch.contiguous_format)
    row = index = 0
    while index < len(lengths):  # neighbours of equal length make one call
        length, first = lengths[index], index
        while index < len(lengths) and lengths[index] == length:
            index += 1
        rows = slice(row, row + length * (index - first))
        q, k, v = (x[rows].view(-1, length, *x.shape[1:]).transpose(1, 2) for x in (query, key, value))
        attended = scaled_dot_product_attention(q, k, v, scale=scale)
        output[rows].view(-1, length, *output.shape[1:]).copy_(attended.transpose(1, 2))
        row = rows.stop
    return output


def _decode(query: Tensor, tokens: Tensor, plan: _Decode, scale: float) -> Tensor:
    """The heads that share keys and values stand as the rows of one small query, so nothing is repeated."""
    sequences, heads, size = query.shape
    kv_heads = tokens.shape[2]
    if plan.slots is None:
        context = tokens[plan.start : plan.start + plan.context].unsqueeze(0)
    else:
        context = tokens.index_select(0, plan.slots).view(sequences, plan.context, 2, kv_heads, size)
    key, value = context.permute(2, 0, 3, 1, 4).unbind(0)  # each [S, kv_heads, context, d]
    grouped = query.reshape(sequences, kv_heads, heads // kv_heads, size)
    attended = scaled_dot_product_attention(grouped, key, value, attn_mask=plan.mask, scale=scale)
    return attended.reshape(sequences, heads, size)


def _prefill(query: Tensor, tokens: Tensor, plan: _Prefill, scale: float) -> Tensor:
    new, heads, size = query.shape
    kv_heads = tokens.shape[2]
    context = tokens[plan.start : plan.start + plan.context]
    if plan.slots is not None:
        context = tokens.index_select(0, plan.slots)
    key, value = context.permute(1, 2, 0, 3).unbind(0)  # each [kv_heads, context, d]
    # kv heads as the batch, the heads that share one as its heads: sharing is a stride of 0, not a copy
    group = heads // kv_heads
    key = key.unsqueeze(1).expand(-1, group, -1, -1)
    value = value.unsqueeze(1).expand(-1, group, -1, -1)
    grouped = query.reshape(new, kv_heads, group, size).permute(1, 2, 0, 3)
    attended = scaled_dot_product_attention(
        grouped, key, value, attn_mask=plan.mask, is_causal=plan.mask is None, scale=scale
    )
    return attended.permute(2, 0, 1, 3).reshape(new, heads, size)


def _make_plan(batch: PagedBatch, block_size: int) -> _Plan:
    device = batch.slot_mapping.device
    tables = batch.block_tables.cpu() if device.type == "cpu" else None  # a look at the device would wait for it
    decoding: list[int] = []
    rows: list[int] = []
    prefills: list[_Prefill] = []
    row = 0
    for sequence, (new, context) in enumerate(zip(batch.query_lengths, batch.context_lengths, strict=True)):
        if new == 1:
            decoding.append(sequence)
            rows.append(row)
        else:
            start = _contiguous_from(tables, sequence, context, block_size)
            slots = None if start is not None else _slots(batch.block_tables[sequence], context, block_size)
            mask = None if new == context else _causal(new, context, device)
            prefills.append(_Prefill(slice(row, row + new), start or 0, context, slots, mask))
        row += new
    decode = _plan_decode(batch, tables, decoding, rows, block_size) if decoding else None
    return _Plan(decode, tuple(prefills))


def _plan_decode(
    batch: PagedBatch, tables: Tensor | None, decoding: list[int], rows: list[int], block_size: int
) -> _Decode:
    device = batch.slot_mapping.device
    lengths = [batch.context_lengths[sequence] for sequence in decoding]
    context = max(lengths)
    together = rows[-1] - rows[0] == len(rows) - 1
    where = slice(rows[0], rows[-1] + 1) if together else torch.tensor(rows, device=device)
    if len(decoding) == 1:
        start = _contiguous_from(tables, decoding[0], context, block_size)
        if start is not None:
            return _Decode(where, start, context, None, None)
    everyone = len(decoding) == len(batch.context_lengths)
    chosen = None if everyone else torch.tensor(decoding, device=device)
    block_tables = batch.block_tables if chosen is None else batch.block_tables.index_select(0, chosen)
    slots = _slots(block_tables, context, block_size)
    mask = None
    if min(lengths) < context:
        contexts = batch.contexts if chosen is None else batch.contexts.index_select(0, chosen)
        within = torch.arange(context, device=device) < contexts.unsqueeze(1)
        slots = torch.where(within, slots, slots[:, :1])
        mask = within[:, None, None]
    return _Decode(where, 0, context, slots.flatten(), mask)


def _slots(block_tables: Tensor, context: int, block_size: int) -> Tensor:
    """Slots of the first `context` positions: int64 [..., context] of block_tables [..., blocks]."""
    used = block_tables[..., : -(-context // block_size)].long().unsqueeze(-1)
    offsets = torch.arange(block_size, device=block_tables.device)
    return (used * block_size + offsets).flatten(-2)[..., :context]


def _contiguous_from(tables: Tensor | None, sequence: int, context: int, block_size: int) -> int | None:
    """The first slot of a sequence whose blocks follow each other in memory; None when they do not."""
    if tables is None:
        return None
    used: list[int] = tables[sequence, : -(-context // block_size)].tolist()
    return used[0] * block_size if used == list(range(used[0], used[0] + len(used))) else None


def _causal(new: int, context: int, device: torch.device) -> Tensor:
    last = torch.arange(context - new, context, device=device).unsqueeze(1)
    return torch.arange(context, device=device) <= last


SDPA = Candidate("sdpa", _declines, paged, packed)
