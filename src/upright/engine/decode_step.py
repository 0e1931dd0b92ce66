"""A step in which every sequence brings one token, as the device runs it: all its inputs lie in one static tensor.

The host sends slots, positions and what is new in block tables; the tokens of the step before are in their slots. So
the step can be launched before they are known, and as a CUDA graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence as Rows
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from upright.engine.device_slots import DeviceSlots
from upright.engine.host_buffers import HostBuffers
from upright.engine.places import Decodes, Integers
from upright.kernels.attention.batch import KVCache, decode_batch
from upright.kernels.decode_inputs import apply_table_updates, prepare_decode
from upright.kernels.sampling import draw
from upright.models.model import Model

_ROW = 5  # integers a row: slot, position, and one new block of a table as (slot, place, block)


class _Inputs(NamedTuple):
    """A buffer of the host's cut up for a run of R rows. To cut it costs a step more than to fill it."""

    slots: Integers  # [R]
    positions: Integers  # [R]
    updates: Integers  # [3 R]
    host: Tensor  # int32 [5 R], all of them
    device: Tensor  # where they go


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
        self._known_inputs: dict[tuple[int, int], _Inputs] = {}  # by address of the buffer, and rows

    def stage(self, rows: int, decodes: Decodes, updates: Rows[int]) -> None:
        """Send the inputs of a run of `rows` rows; missing ones are dummies.

        `updates`: slot, place and block of each new block of a table, one after the other; `rows` blocks at most.
        """
        inputs, count = self._next_inputs(rows), len(decodes.slots)
        inputs.slots[:count] = decodes.slots
        inputs.positions[:count] = decodes.starts
        if count < rows:
            inputs.slots[count:] = self._slots.dummy
            inputs.positions[count:] = 0
        inputs.updates[: len(updates)] = updates
        inputs.updates[len(updates) :] = -1
        inputs.device.copy_(inputs.host, non_blocking=True)

    def _next_inputs(self, rows: int) -> _Inputs:
        buffer = self._host.next()
        key = buffer.data_ptr(), rows
        known = self._known_inputs.get(key)
        if known is None:
            host = buffer[: _ROW * rows]
            slots, positions, updates = np.split(host.numpy(), (rows, 2 * rows))
            known = self._known_inputs[key] = _Inputs(slots, positions, updates, host, self._inputs[: _ROW * rows])
        return known

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
