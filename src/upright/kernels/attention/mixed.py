"""Steps in which some sequences bring one token and others several: each kind goes to the kernel made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.transfer import sent

if TYPE_CHECKING:
    from upright.kernels.triton.paged_decode import Workspace


@dataclass(frozen=True)
class Mixed:
    """Which sequences of a batch bring one token, and which several.

    What is on the host is empty for a padded batch: there the tensors alone, and a map of tiles, say what there is.
    """

    decodes: tuple[int, ...]
    prefills: tuple[int, ...]
    decode_rows: Tensor  # int32 [decodes]
    decode_sequences: Tensor  # int32 [decodes]
    prefill_rows: slice | Tensor  # int64 where the rows do not follow each other

    @classmethod
    def of(cls, batch: PagedBatch, apart: bool = True) -> Mixed:
        """Unless the kinds are wanted `apart`, all sequences count as bringing several tokens."""
        device = batch.slot_mapping.device
        decodes: list[int] = []
        prefills: list[int] = []
        rows: list[int] = []
        spans: list[tuple[int, int]] = []
        row = 0
        for sequence, new in enumerate(batch.query_lengths):
            if new == 1 and apart:
                decodes.append(sequence)
                rows.append(row)
            else:
                prefills.append(sequence)
                spans.append((row, row + new))
            row += new
        told = sent(torch.tensor([rows, decodes], dtype=torch.int32), device)
        together = all(before[1] == after[0] for before, after in pairwise(spans))
        where: slice | Tensor
        if together:
            where = slice(spans[0][0], spans[-1][1]) if spans else slice(0, 0)
        else:
            where = sent(torch.cat([torch.arange(*span) for span in spans]), device)
        return cls(tuple(decodes), tuple(prefills), told[0], told[1], where)


def attend_mixed(
    query: Tensor, layer: Tensor, batch: PagedBatch, scale: float, mixed: Mixed, prefill: Callable[[Tensor], Tensor]
) -> Tensor:
    """[T, heads, d]: `prefill` serves sequences with several tokens, packed; the decode kernel serves the others."""
    if not mixed.decodes:
        return prefill(query)
    output = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    decode_rows(query, layer, batch, scale, mixed, output)
    if mixed.prefills:
        output[mixed.prefill_rows] = prefill(query[mixed.prefill_rows])
    return output


def decode_rows(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float, mixed: Mixed, output: Tensor) -> None:
    """Write what the sequences with one token attend to into their rows of `output`."""
    from upright.kernels.triton.paged_decode import attend, workspace

    def make(batch: PagedBatch) -> Workspace:
        longest = max(batch.context_lengths[sequence] for sequence in mixed.decodes)
        heads, size = query.shape[1:]
        return workspace(len(mixed.decodes), heads, layer.shape[3], size, longest, query.device)

    attend(
        query, layer, batch.block_tables, batch.contexts, scale, batch.plan("mixed decodes", make), output,
        mixed.decode_rows, mixed.decode_sequences,
    )  # fmt: skip
