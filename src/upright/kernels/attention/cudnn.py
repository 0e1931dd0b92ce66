"""Packed attention through cuDNN's kernel behind scaled_dot_product_attention: fast where images are of equal size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.sdpa import packed as packed_by_sdpa


def _declines(need: AttentionNeed) -> str | None:
    reason = need.modern_declined()
    if reason is not None:
        return reason
    if need.layout != "packed":
        return "only for packed attention"
    if torch.backends.cudnn.version() is None:  # type: ignore[no-untyped-call]
        return "this build of PyTorch has no cuDNN"
    if need.dtype not in (torch.float16, torch.bfloat16):
        return f"wants float16 or bfloat16, not {str(need.dtype).removeprefix('torch.')}"
    if need.head_size > 128 or need.head_size % 8:
        return f"wants heads of at most 128, a multiple of 8, not {need.head_size}"
    return None


def packed(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], scale: float) -> Tensor:
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return packed_by_sdpa(query, key, value, lengths, scale)


CUDNN = Candidate("cudnn", _declines, packed=packed, layouts=("packed",))
