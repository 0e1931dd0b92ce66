"""What a decode step reads, made on the device from the state of the slots that its sequences own.

A decode step is launched before the host knows the tokens of the one before it, and the host's part of it must be
small: it sends slots and positions, and changes of block tables. The rest stays on the device.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from upright.kernels.compiled import serves


class DecodeInputs(NamedTuple):
    ids: Tensor  # int64 [B]: each sequence's last token
    positions: Tensor  # int64 [B]: where the rotation puts it, the same on all axes
    slot_mapping: Tensor  # int64 [B]: where its keys and values go, block * block_size + offset
    contexts: Tensor  # int32 [B]: tokens in the cache after this step
    block_tables: Tensor  # int32 [B, most blocks]: the sequences' rows of the table


def prepare_decode(
    slots: Tensor, positions: Tensor, drawn: Tensor, tables: Tensor, deltas: Tensor, block_size: int
) -> DecodeInputs:
    """Inputs of a step that computes one token of each of B sequences.

    slots int32 [B]: what each sequence owns; positions int32 [B]: the token's index in its sequence. By slot: drawn
    int64 [slots], the token that was drawn last; tables int32 [slots, most blocks]; deltas int32 [slots], what the
    rotation's position has ahead of the index. All may be views of larger tensors with contiguous rows.
    """
    if serves(slots):
        from upright.kernels.triton import decode_inputs

        return DecodeInputs(*decode_inputs.prepare(slots, positions, drawn, tables, deltas, block_size))
    return prepare_decode_reference(slots, positions, drawn, tables, deltas, block_size)


def prepare_decode_reference(
    slots: Tensor, positions: Tensor, drawn: Tensor, tables: Tensor, deltas: Tensor, block_size: int
) -> DecodeInputs:
    rows = tables.index_select(0, slots)
    where = positions.long()
    blocks = rows.gather(1, (where // block_size).unsqueeze(1)).squeeze(1).long()
    return DecodeInputs(
        ids=drawn.index_select(0, slots),
        positions=where + deltas.index_select(0, slots),
        slot_mapping=blocks * block_size + where % block_size,
        contexts=positions + 1,
        block_tables=rows,
    )


def apply_table_updates(tables: Tensor, updates: Tensor) -> None:
    """Write block `updates[i, 2]` at place `updates[i, 1]` of the row of slot `updates[i, 0]`.

    tables int32 [slots, most blocks]; updates int32 [U, 3], contiguous, no place twice. A negative slot is skipped, so
    that a buffer of a fixed length can be filled up.
    """
    if serves(tables):
        from upright.kernels.triton import decode_inputs

        decode_inputs.update(tables, updates)
        return
    slots, places, blocks = updates[updates[:, 0] >= 0].unbind(1)
    tables.index_put_((slots, places), blocks)


def apply_table_updates_reference(tables: Tensor, updates: Tensor) -> None:
    for slot, place, block in updates.tolist():
        if slot >= 0:
            tables[slot, place] = block
