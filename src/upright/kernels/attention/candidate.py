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

# decode: paged, every sequence brings one token, and on CUDA nothing is known on the host; prefill: paged, any mix of
# sequences; packed: keys and values lie beside the queries
Layout: TypeAlias = Literal["decode", "prefill", "packed"]

# The first card with bfloat16, asynchronous copies to shared memory and FlashAttention
_MODERN = (8, 0)


@dataclass(frozen=True)
class AttentionNeed:
    """What is asked of a candidate. `capability` is CUDA's compute capability, None on other devices.

    With `portable`, candidates decline what cards before sm80 do not have, whatever the card is.
    """

    device_type: str
    capability: tuple[int, int] | None
    dtype: torch.dtype
    head_size: int
    layout: Layout
    portable: bool = False

    @property
    def modern(self) -> bool:
        """True on CUDA from sm80 on, unless only what is portable is wanted."""
        return not self.portable and self.capability is not None and self.capability >= _MODERN

    def modern_declined(self) -> str | None:
        """Why nothing that begins with sm80 can serve; None when it can."""
        if self.device_type != "cuda":
            return f"needs CUDA, not {self.device_type}"
        if self.portable:
            return "only portable kernels are wanted"
        if self.capability is None or self.capability < _MODERN:
            return f"needs sm80 or later, not sm{''.join(map(str, self.capability or (0,)))}"
        return None


def unserved_paged(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float) -> Tensor:
    """For candidates without paged attention. Raises: NotImplementedError."""
    raise NotImplementedError("this attention candidate has no paged attention")


def unserved_packed(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], scale: float) -> Tensor:
    """For candidates without packed attention. Raises: NotImplementedError."""
    raise NotImplementedError("this attention candidate has no packed attention")


@dataclass(frozen=True)
class Candidate:
    """One implementation. `declines` says why it cannot serve a need, or None when it can.

    `paged` serves the layouts decode and prefill, `packed` the third.
    """

    name: str
    declines: Callable[[AttentionNeed], str | None]
    paged: Paged = unserved_paged
    packed: Packed = unserved_packed
    layouts: tuple[Layout, ...] = ("decode", "prefill", "packed")
    capturable: bool = False  # its decode reads lengths on the device alone, so a CUDA graph may hold it
