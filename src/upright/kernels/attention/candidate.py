"""What an attention implementation offers to the dispatch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.attention.runs import Runs
from upright.kernels.rotary import Rotation

# paged(query [T, heads, d], layer [blocks, block_size, 2, kv_heads, d], batch, scale) -> [T, heads, d]: causal within
# each sequence's context, whose new keys and values are in the cache already
Paged: TypeAlias = Callable[[Tensor, Tensor, PagedBatch, float], Tensor]
# turned(qkv [T, heads + 2 * kv_heads, d], bias, rotation, layer, batch, scale) -> [T, heads, d]: as `rotate_and_store`
# and then paged, of a batch in which every sequence brings one token
Turned: TypeAlias = Callable[[Tensor, Tensor | None, Rotation, Tensor, PagedBatch, float], Tensor]
# packed(query, key, value [T, heads, d], runs, scale) -> [T, heads, d]: each run of rows attends to all of itself and
# to nothing else
Packed: TypeAlias = Callable[[Tensor, Tensor, Tensor, Runs, float], Tensor]

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
        return self.modern_declined() is None

    def modern_declined(self) -> str | None:
        """Why nothing that begins with sm80 can serve; None when it can."""
        if self.device_type != "cuda":
            return f"needs CUDA, not {self.device_type}"
        if self.portable:
            return "only portable kernels are wanted"
        if self.capability is None or self.capability < _MODERN:
            return f"needs sm80 or later, not sm{''.join(map(str, self.capability or (0,)))}"
        return None

    def half_declined(self) -> str | None:
        """Why nothing that takes 16-bit values alone can serve; None when it can."""
        if self.dtype not in (torch.float16, torch.bfloat16):
            return f"wants float16 or bfloat16, not {str(self.dtype).removeprefix('torch.')}"
        return None

    def heads_declined(self, most: int) -> str | None:
        """Why nothing that takes heads of multiples of 8, up to `most`, can serve; None when it can."""
        if self.head_size > most or self.head_size % 8:
            return f"wants heads of at most {most}, a multiple of 8, not {self.head_size}"
        return None


@dataclass(frozen=True)
class Candidate:
    """One implementation. `declines` says why it cannot serve a need, or None when it can.

    `paged` serves the layouts decode and prefill, `packed` the third.
    """

    name: str
    declines: Callable[[AttentionNeed], str | None]
    paged: Paged
    packed: Packed
    layouts: tuple[Layout, ...] = ("decode", "prefill", "packed")
    capturable: bool = False  # its decode reads lengths on the device alone, so a CUDA graph may hold it
    turned: Turned | None = None  # where it can do all of that in one launch
