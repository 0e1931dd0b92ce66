"""Attention as its definition says, in plain torch with float32 arithmetic. Slow, and right everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.runs import Runs


def _declines(need: AttentionNeed) -> str | None:
    return None


def _attend(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """query [T, heads, d], key and value [L, kv_heads, d], mask bool [T, L] (True: may attend): [T, heads, d]."""
    group = query.shape[1] // key.shape[1]
    wide_key = key.float().repeat_interleave(group, dim=1)
    wide_value = value.float().repeat_interleave(group, dim=1)
    scores = torch.einsum("thd,lhd->htl", query.float(), wide_key) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.einsum("htl,lhd->thd", scores.softmax(-1), wide_value).to(query.dtype)


def paged(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float) -> Tensor:
    block_size = layer.shape[1]
    outputs = []
    row = 0
    for sequence, (new, context) in enumerate(zip(batch.query_lengths, batch.context_lengths, strict=True)):
        used = batch.block_tables[sequence, : -(-context // block_size)]
        tokens = layer[used].flatten(0, 1)[:context]
        before = torch.arange(context - new, context, device=query.device).unsqueeze(1)
        mask = torch.arange(context, device=query.device) <= before
        outputs.append(_attend(query[row : row + new], tokens[:, 0], tokens[:, 1], scale, mask))
        row += new
    return torch.cat(outputs)


def packed(query: Tensor, key: Tensor, value: Tensor, runs: Runs, scale: float) -> Tensor:
    parts = zip(*(torch.split(x, list(runs.lengths)) for x in (query, key, value)), strict=True)
    return torch.cat([_attend(q, k, v, scale, None) for q, k, v in parts])


REFERENCE = Candidate("reference", _declines, paged, packed)
