"""Attention for cards before sm80: decode without matrix instructions, the rest by torch's memory-efficient kernel."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from upright.kernels.attention import sdpa
from upright.kernels.attention.batch import PagedBatch
from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.runs import Runs
from upright.kernels.attention.tiles import decode, triton_declined, turned

_BACKENDS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def _declines(need: AttentionNeed) -> str | None:
    if need.device_type != "cuda":
        return f"needs CUDA, not {need.device_type}"
    if need.layout == "decode":
        return triton_declined(need)
    return None


def paged(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float) -> Tensor:
    if batch.decode_only:
        return decode(query, layer, batch, scale, matrix=False)
    with sdpa_kernel(_BACKENDS):
        return sdpa.paged(query, layer, batch, scale)


def packed(query: Tensor, key: Tensor, value: Tensor, runs: Runs, scale: float) -> Tensor:
    with sdpa_kernel(_BACKENDS):
        return sdpa.packed(query, key, value, runs, scale)


PORTABLE = Candidate(
    "portable", _declines, paged, packed, capturable=True, turned=partial(turned, matrix=False)
)  # fmt: skip
