"""What every paged attention candidate is given: the block cache, and how a step's sequences lie in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy
import torch
from torch import Tensor

Plan = TypeVar("Plan")


@dataclass(frozen=True)
class PagedBatch:
    """One step. Sequences are in batch order and the rows of a sequence are contiguous.

    NOTE: the host tuples and the device tensors say the same thing; kernels read the tensors, candidates that cut
    sequences apart read the tuples, and neither waits for the other.
    """

    slot_mapping: Tensor  # int64 [T]: block * block_size + offset of each new token
    block_tables: Tensor  # int32 [S, most blocks], rows padded with any valid block number
    query_lengths: tuple[int, ...]  # new tokens of each sequence
    context_lengths: tuple[int, ...]  # tokens of each sequence in the cache after this step, the new ones included
    query_starts: Tensor  # int32 [S + 1]: first row of each sequence, and T
    contexts: Tensor  # int32 [S]: context_lengths on the device
    plans: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def decode_only(self) -> bool:
        """True when every sequence brings exactly one token."""
        return len(self.query_lengths) == self.slot_mapping.shape[0]

    def plan(self, name: str, make: Callable[[PagedBatch], Plan]) -> Plan:
        """What a candidate works out once a step and reuses on every layer."""
        if name not in self.plans:
            self.plans[name] = make(self)
        plan: Plan = self.plans[name]
        return plan


def make_batch(
    block_tables: Sequence[Sequence[int]],
    query_lengths: Sequence[int],
    context_lengths: Sequence[int],
    block_size: int,
    device: torch.device | str = "cpu",
) -> PagedBatch:
    """The batch of sequences whose blocks are `block_tables[i]` and whose last `query_lengths[i]` tokens are new."""
    slots = [
        table[position // block_size] * block_size + position % block_size
        for table, new, context in zip(block_tables, query_lengths, context_lengths, strict=True)
        for position in range(context - new, context)
    ]
    starts = [0]
    for new in query_lengths:
        starts.append(starts[-1] + new)
    widest = max(map(len, block_tables), default=0)
    padded = [[*table, *[table[0]] * (widest - len(table))] for table in block_tables]
    return PagedBatch(
        slot_mapping=torch.tensor(slots, dtype=torch.int64, device=device),
        block_tables=torch.tensor(padded, dtype=torch.int32, device=device),
        query_lengths=tuple(query_lengths),
        context_lengths=tuple(context_lengths),
        query_starts=torch.tensor(starts, dtype=torch.int32, device=device),
        contexts=torch.tensor(list(context_lengths), dtype=torch.int32, device=device),
    )


class KVCache:
    """Keys and values of every block on every layer: one tensor [layers, blocks, block_size, 2, kv_heads, head_size].

    Keys and values of a token lie side by side, as the fused projection makes them, so that a step stores them with one
    copy a layer and a gather of scattered blocks reads them with one too. Kernels that want them apart take
    `layer[..., 0, :, :]` and `layer[..., 1, :, :]`, which are views with contiguous head vectors.
    """

    def __init__(self, data: Tensor) -> None:
        if data.dim() != 6 or data.shape[3] != 2 or not data.is_contiguous():
            raise ValueError(f"a cache is [layers, blocks, block_size, 2, kv_heads, head_size], not {list(data.shape)}")
        self.data = data
        self.layers: tuple[Tensor, ...] = data.unbind(0)

    @classmethod
    def allocate(
        cls, layers: int, blocks: int, block_size: int, kv_heads: int, head_size: int, dtype: torch.dtype,
        device: torch.device | str,
    ) -> KVCache:  # fmt: skip
        """A cache of zeros. Candidates never read a slot past a sequence's context, so the contents do not matter.

        On a CPU it takes memory only as it fills: its pages are the kernel's, zeroed when they are first written.
        """
        shape = (layers, blocks, block_size, 2, kv_heads, head_size)
        if torch.device(device).type == "cpu":
            pages = numpy.zeros(math.prod(shape) * dtype.itemsize, dtype=numpy.uint8)
            return cls(torch.from_numpy(pages).view(dtype).view(shape))
        return cls(torch.zeros(shape, dtype=dtype, device=device))

    @property
    def blocks(self) -> int:
        return self.data.shape[1]

    @property
    def block_size(self) -> int:
        return self.data.shape[2]


def block_bytes(layers: int, block_size: int, kv_heads: int, head_size: int, dtype: torch.dtype) -> int:
    """Bytes that one block takes on all layers together."""
    return layers * block_size * 2 * kv_heads * head_size * dtype.itemsize
