"""A step in which every sequence brings one token, as the device runs it: all its inputs lie in one static tensor.

The host sends slots, positions and what is new in block tables; the tokens of the step before are in their slots. So
the step can be launched before they are known, and as a CUDA graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence as Rows

import numpy as np
import torch
from torch import Tensor

from upright.engine.device_slots import DeviceSlots
from upright.engine.host_buffers import HostBuffers
from upright.engine.places import Decodes
from upright.kernels.attention.batch import KVCache, decode_batch
from upright.kernels.decode_inputs import apply_table_updates, prepare_decode
from upright.kernels.sampling import draw
from upright.models.model import Model

_ROW = 5  # integers a row: slot, position, and one new block of a table as (slot, place, block)


class DecodeStep:
    """`most`: rows of the largest step."""

    def __init__(self, model: Model, cache: KVCache, slots: DeviceSlots, most: int) -> None:
        self.most = most
        self.tokens = torch.zeros(most, dtype=torch.int64, device=model.device)  # what the last run has drawn
        self._model = model
        self._cache = cache
        self._slots = slots
        self._inputs = torch.zeros(_ROW * most, dtype=torch.int32, device=model.device)
        self._host = HostBuffers(_ROW * most, torch.int32, model.device)

    def stage(self, rows: int, decodes: Decodes, updates: Rows[tuple[int, int, int]]) -> None:
        """Send the inputs of a run of `rows` rows. `updates` has at most `rows` entries; missing rows are dummies."""
        host = self._host.next()
        values = host.numpy()
        count = len(decodes.slots)
        values[:count] = decodes.slots
        values[count:rows] = self._slots.dummy
        values[rows : rows + count] = decodes.starts
        values[rows + count : 2 * rows] = 0
        changes = values[2 * rows : _ROW * rows]
        changes[: 3 * len(updates)] = np.asarray(updates, dtype=np.int32).reshape(-1)
        changes[3 * len(updates) :] = -1
        self._inputs[: _ROW * rows].copy_(host[: _ROW * rows], non_blocking=True)

    def run(self, rows: int) -> Tensor:
        """Launch the step; `tokens[:rows]` are its draws. Returns the logits [rows, vocabulary]."""
        slots, inputs = self._slots, self._inputs
        decoder = self._model.decoder
        apply_table_updates(slots.tables, inputs[2 * rows : _ROW * rows].view(rows, 3))
        ours, positions = inputs[:rows], inputs[rows : 2 * rows]
        made = prepare_decode(ours, positions, slots.drawn, slots.tables, slots.deltas, self._cache.block_size)
        batch = decode_batch(made.slot_mapping, made.block_tables, made.contexts)
        if self._model.device.type == "cpu":  # where looking at a tensor costs nothing, and candidates want to
            batch = dataclasses.replace(batch, context_lengths=tuple(made.contexts.tolist()))
        hidden = decoder.forward(decoder.embed(made.ids), made.positions.expand(3, -1), self._cache, batch)
        logits = decoder.logits(hidden)
        draw(logits, slots.sampler, ours, positions, slots.drawn, self.tokens[:rows])
        return logits
