"""Attention through cuDNN's kernel behind scaled_dot_product_attention. It knows no packed runs: images of equal size
make one call, and so does each long prompt that is computed whole; all else of a step goes to our own kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.mixed import Mixed
from upright.kernels.attention.sdpa import packed as packed_by_sdpa
from upright.kernels.attention.tiles import prefill_rest, triton_declined

LONG = 1024  # new tokens of a prompt from which a call of its own pays


def _declines(need: AttentionNeed) -> str | None:
    reason = need.modern_declined()
    if reason is not None:
        return reason
    if need.layout == "decode":
        return "wants lengths on the host"
    if need.layout == "prefill" and triton_declined(need) is not None:
        return triton_declined(need)  # which serves what is not a whole prompt
    if torch.backends.cudnn.version() is None:  # type: ignore[no-untyped-call]
        return "this build of PyTorch has no cuDNN"
    return need.half_declined() or need.heads_declined(128)


def packed(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], scale: float) -> Tensor:
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return packed_by_sdpa(query, key, value, lengths, scale)


@dataclass(frozen=True)
class _Plan:
    whole: tuple[slice, ...]  # rows of the prompts that cuDNN serves
    mixed: Mixed  # the step without them


def paged(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float) -> Tensor:
    plan = batch.plan("cudnn", _make_plan)
    output = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    prefill_rest(query, layer, batch, scale, plan.mixed, output)
    tokens = layer.view(-1, 2, *layer.shape[3:])
    for rows in plan.whole:
        # what was stored a moment ago is read back from its blocks: [1, kv_heads, T, d] each
        key, value = tokens.index_select(0, batch.slot_mapping[rows]).permute(1, 2, 0, 3).unsqueeze(1).unbind(0)
        own = query[rows].transpose(0, 1).unsqueeze(0)
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            attended = scaled_dot_product_attention(own, key, value, is_causal=True, scale=scale, enable_gqa=True)
        output[rows].copy_(attended[0].transpose(0, 1))
    return output


def _make_plan(batch: PagedBatch) -> _Plan:
    starts = [0, *accumulate(batch.query_lengths)]
    lengths = zip(batch.query_lengths, batch.context_lengths, strict=True)
    whole = [index for index, (new, context) in enumerate(lengths) if new == context and new >= LONG]
    return _Plan(tuple(slice(starts[index], starts[index + 1]) for index in whole), Mixed.of(batch, without=whole))


CUDNN = Candidate("cudnn", _declines, paged, packed, ("prefill", "packed"))
