"""What every paged attention candidate is given: the block cache, and how a step's sequences lie in it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy
import torch
from torch import Tensor

Plan = TypeVar("Plan")

_DTYPES = {4: torch.int32, 8: torch.int64}
_ALIGNMENT = 16  # bytes: what kernels can read at once


@dataclass(frozen=True)
class PagedBatch:
    """One step. Sequences are in batch order and the rows of a sequence are contiguous.

    NOTE: the host tuples and the device tensors say the same thing; kernels read the tensors, candidates that cut
    sequences apart read the tuples, and neither waits for the other. A batch of `decode_batch` has no tuples: its
    lengths are on the device alone. So are those of `tiles.prompt_batch`, where sequences lie in any order and some
    have no part in the step.
    """

    slot_mapping: Tensor  # int64 [T]: block * block_size + offset of each new token, negative for rows of nobody
    block_tables: Tensor  # int32 [S, most blocks], rows padded with any valid block number
    query_lengths: tuple[int, ...]  # new tokens of each sequence
    context_lengths: tuple[int, ...]  # tokens of each sequence in the cache after this step, the new ones included
    contexts: Tensor  # int32 [S]: context_lengths on the device
    decode_only: bool  # every sequence brings exactly one token
    padded: bool = False  # rows after those of the last sequence belong to nobody
    plans: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, name: str, make: Callable[[PagedBatch], Plan]) -> Plan:
        """What a candidate works out once a step and reuses on every layer.

        Raises: ValueError for a padded batch without that plan, as nothing can be worked out on the host.
        """
        if name not in self.plans:
            if self.padded:
                raise ValueError(f"a padded step has plans for the Triton attention alone, none named {name!r}")
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
    """The batch of sequences whose blocks are `block_tables[i]` and whose last `query_lengths[i]` tokens are new.

    Everything goes to the device in one copy, which a GPU makes while the host goes on.
    """
    widest = max(map(len, block_tables), default=0)
    tables, slots = array("i"), array("q")
    for table, new, context in zip(block_tables, query_lengths, context_lengths, strict=True):
        tables += array("i", table)
        tables += array("i", table[:1]) * (widest - len(table))
        if new == 1:
            slots.append(table[(context - 1) // block_size] * block_size + (context - 1) % block_size)
        else:
            slots.frombytes(_slots(table, context - new, context, block_size).tobytes())
    parts = _to_device((slots, tables, array("i", context_lengths)), torch.device(device))
    return PagedBatch(
        slot_mapping=parts[0],
        block_tables=parts[1].view(len(block_tables), widest),
        query_lengths=tuple(query_lengths),
        context_lengths=tuple(context_lengths),
        contexts=parts[2],
        decode_only=all(new == 1 for new in query_lengths),
    )


def decode_batch(slot_mapping: Tensor, block_tables: Tensor, contexts: Tensor) -> PagedBatch:
    """A step in which each sequence brings one token and only the device knows the lengths, as in a CUDA graph.

    slot_mapping int64 [S], block_tables int32 [S, most blocks], contexts int32 [S]. Rows of padding have any slot that
    may be written, any valid block and a context of at least 0.
    """
    count = slot_mapping.shape[0]
    if block_tables.shape[0] != count or contexts.shape[0] != count:
        raise ValueError(f"{count} slots, {block_tables.shape[0]} block tables and {contexts.shape[0]} contexts")
    return PagedBatch(slot_mapping, block_tables, (1,) * count, (), contexts, decode_only=True)


def _slots(table: Sequence[int], start: int, stop: int, block_size: int) -> numpy.ndarray[Any, Any]:
    """Slots of the positions from `start` to `stop` of a sequence with the blocks `table`: int64."""
    positions = numpy.arange(start, stop, dtype=numpy.int64)
    blocks = numpy.asarray(table, dtype=numpy.int64)
    return blocks[positions // block_size] * block_size + positions % block_size


def _to_device(parts: Sequence[array[int]], device: torch.device) -> tuple[Tensor, ...]:
    """Arrays of 4 or 8 bytes an element on the device, in one copy; each begins at a multiple of `_ALIGNMENT`."""
    host = [torch.tensor([], dtype=_DTYPES[p.itemsize]) if not p else torch.frombuffer(p, dtype=_DTYPES[p.itemsize])
            for p in parts]  # fmt: skip
    if device.type != "cuda":
        return tuple(part.to(device) for part in host)
    sizes = [-(-part.nbytes // _ALIGNMENT) * _ALIGNMENT for part in host]
    pinned = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=True)
    for place, part in zip(torch.split(pinned, sizes), host, strict=True):
        place[: part.nbytes].copy_(part.view(torch.uint8))
    there = torch.split(pinned.to(device, non_blocking=True), sizes)
    return tuple(place[: one.nbytes].view(one.dtype) for place, one in zip(there, host, strict=True))


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
