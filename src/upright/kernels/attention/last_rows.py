"""The rows of a step that something is drawn from: all that the last layer need work out, beside keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.transfer import sent


@dataclass(frozen=True)
class LastRows:
    """The last new token of some sequences of a step."""

    rows: Tensor  # int64 [N]: their places in the step
    batch: PagedBatch  # the same sequences, as if each brought that token alone


def last_rows(batch: PagedBatch, sequences: Sequence[int]) -> LastRows:
    """The ends of `sequences`, which are indices into a batch that is not padded."""
    ends = list(accumulate(batch.query_lengths))
    told = torch.tensor([[ends[sequence] - 1 for sequence in sequences], sequences], dtype=torch.int64)
    rows, chosen = sent(told, batch.slot_mapping.device)
    alone = PagedBatch(
        slot_mapping=batch.slot_mapping.index_select(0, rows),
        block_tables=batch.block_tables.index_select(0, chosen),
        query_lengths=(1,) * len(sequences),
        context_lengths=tuple(batch.context_lengths[sequence] for sequence in sequences),
        contexts=batch.contexts.index_select(0, chosen),
        decode_only=True,
    )
    return LastRows(rows, alone)
