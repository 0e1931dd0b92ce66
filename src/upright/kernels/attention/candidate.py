"""What an attention implementation offers to the dispatch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from upright.kernels.attention.batch import PagedBatch

# paged(query [T, heads, d], layer [blocks, block_size, 2, kv_heads, d], batch, scale) -> [T, heads, d]: causal within
# each sequence's context, whose new keys and values are in the cache already
Paged: TypeAlias = Callable[[Tensor, Tensor, PagedBatch, float], Tensor]
# packed(query, key, value [T, heads, d], lengths, scale) -> [T, heads, d]: each run of lengths[i] rows attends to all
# of itself and to nothing else
Packed: TypeAlias = Callable[[Tensor, Tensor, Tensor, tuple[int, ...], float], Tensor]


@dataclass(frozen=True)
class AttentionNeed:
    """What is asked of a candidate. `capability` is CUDA's compute capability, None on other devices."""

    device_type: str
    capability: tuple[int, int] | None
    dtype: torch.dtype
    head_size: int
    layout: Literal["paged", "packed"]


@dataclass(frozen=True)
class Candidate:
    """One implementation. `declines` says why it cannot serve a need, or None when it can."""

    name: str
    declines: Callable[[AttentionNeed], str | None]
    paged: Paged
    packed: Packed
