"""Attention through the FlashAttention of torch, for runs of any lengths packed one after the other. sm80 and later."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.mixed import Mixed, attend_mixed
from upright.kernels.attention.runs import Runs
from upright.kernels.compiled import has_triton
from upright.kernels.transfer import sent


@dataclass(frozen=True)
class _Prefill:
    """Sequences that bring several tokens: where each one's queries and context begin, packed."""

    slots: Tensor  # int64: of all contexts' tokens, one sequence after the other
    query_starts: Tensor  # int32 [S + 1]
    context_starts: Tensor  # int32 [S + 1]
    most_new: int
    longest: int


def _declines(need: AttentionNeed) -> str | None:
    reason = need.modern_declined()
    if reason is not None:
        return reason
    if need.layout == "decode":
        return "wants lengths on the host"
    return need.half_declined() or need.heads_declined(256)


def paged(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float) -> Tensor:
    """Keys and values are gathered from their blocks: a few bytes beside the products of a prefill."""
    plan = batch.plan("flash", lambda batch: _make_plan(batch, layer.shape[1]))

    def prefill(query: Tensor) -> Tensor:
        part = plan.prefill
        tokens = layer.view(-1, 2, *layer.shape[3:]).index_select(0, part.slots)
        return _varlen(
            query, tokens[:, 0], tokens[:, 1], part.query_starts, part.context_starts, part.most_new, part.longest,
            True, scale,
        )  # fmt: skip

    return attend_mixed(query, layer, batch, scale, plan.mixed, prefill)


def packed(query: Tensor, key: Tensor, value: Tensor, runs: Runs, scale: float) -> Tensor:
    starts = runs.plan("flash", lambda: _starts(runs.lengths, query.device))
    longest = max(runs.lengths, default=0)
    return _varlen(query, key, value, starts, starts, longest, longest, False, scale)


def _varlen(
    query: Tensor, key: Tensor, value: Tensor, query_starts: Tensor, key_starts: Tensor, most_queries: int,
    most_keys: int, causal: bool, scale: float,
) -> Tensor:  # fmt: skip
    """Where a run has more keys than queries, the queries are its last ones."""
    answer: Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, query_starts, key_starts, most_queries, most_keys, 0.0, causal, False, scale=scale
    )[0]
    return answer


@dataclass(frozen=True)
class _Plan:
    mixed: Mixed
    prefill: _Prefill


def _make_plan(batch: PagedBatch, block_size: int) -> _Plan:
    mixed = Mixed.of(batch, apart=has_triton())  # the decode kernel is written in Triton
    new = [batch.query_lengths[sequence] for sequence in mixed.prefills]
    contexts = [batch.context_lengths[sequence] for sequence in mixed.prefills]
    told = [[0, *accumulate(new)], [0, *accumulate(contexts)], [*mixed.prefills, 0], [*contexts, 0]]
    there = sent(torch.tensor(told, dtype=torch.int32), batch.slot_mapping.device)
    slots = _slots(batch.block_tables, there[2, :-1], there[3, :-1], there[1], sum(contexts), block_size)
    return _Plan(mixed, _Prefill(slots, there[0], there[1], max(new, default=0), max(contexts, default=0)))


def _slots(
    block_tables: Tensor, sequences: Tensor, contexts: Tensor, starts: Tensor, total: int, block_size: int
) -> Tensor:
    """Slots int64 [total] of the whole contexts of `sequences`, one after the other, without a look at the host."""
    which = torch.arange(sequences.shape[0], device=block_tables.device)
    which = which.repeat_interleave(contexts, output_size=total)
    position = torch.arange(total, device=block_tables.device) - starts[which]
    blocks = block_tables[sequences[which], position // block_size].long()
    return blocks * block_size + position % block_size


def _starts(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """int32 [runs + 1] on the device."""
    return sent(torch.tensor([0, *accumulate(lengths)], dtype=torch.int32), device)


FLASH = Candidate("flash", _declines, paged, packed, ("prefill", "packed"))
