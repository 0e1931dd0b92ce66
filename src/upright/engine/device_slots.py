"""What the device keeps for every running sequence, so that a decode step needs next to nothing from the host.

A sequence owns a slot while it runs. The last row of everything is a dummy's: rows that only fill a CUDA graph up to
its size read and write there.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows

import torch

from upright.engine.prompts import Prompts
from upright.engine.sequence import Sequence
from upright.kernels.sampler_state import SamplerState, SlotFill, served_on_device
from upright.kernels.transfer import sent


class DeviceSlots:
    """The device's rows, and what the host knows of them."""

    def __init__(
        self, slots: int, most_blocks: int, dummy_block: int, max_model_len: int, device: torch.device
    ) -> None:
        """`most_blocks`: of one sequence; `dummy_block`: one that no sequence ever owns."""
        self.dummy = slots
        self.drawn = torch.zeros(slots + 1, dtype=torch.int64, device=device)  # the token that was drawn last
        self.tables = torch.full((slots + 1, most_blocks), dummy_block, dtype=torch.int32, device=device)
        self.deltas = torch.zeros(slots + 1, dtype=torch.int32, device=device)  # rotary position minus index
        self.sampler = SamplerState.allocate(slots, max_model_len, device)
        # A sequence gets a new list of blocks each time that it is admitted, so the list stands for one stay in a slot.
        self._stays: list[list[int] | None] = [None] * slots
        self._uploaded = [0] * slots  # blocks of the stay that are in `tables`
        self._not_served: set[int] = set()  # slots whose draws the device's sampler cannot make

    def enter(self, sequences: Rows[Sequence], prompts: Prompts) -> None:
        """Fill the rows of those of `sequences` that have come into their slots since the last step."""
        stays = self._stays
        new = [sequence for sequence in sequences if stays[sequence.slot] is not sequence.blocks]
        if not new:
            return
        for sequence in new:
            slot = sequence.slot
            stays[slot] = sequence.blocks
            self._uploaded[slot] = 0
            if served_on_device(sequence.request.params) is None:
                self._not_served.discard(slot)
            else:
                self._not_served.add(slot)
        slots = [sequence.slot for sequence in new]
        last = [sequence.output[-1] if sequence.output else sequence.request.prompt[-1] for sequence in new]
        deltas = [prompts.of(sequence).delta for sequence in new]
        where, tokens, ahead = sent(torch.tensor([slots, last, deltas], dtype=torch.int64), self.drawn.device)
        self.drawn.index_copy_(0, where, tokens)
        self.deltas.index_copy_(0, where, ahead.to(torch.int32))
        self.sampler.fill([SlotFill(s.slot, s.request.params, len(s.request.prompt), tuple(s.output)) for s in new])

    def not_served(self, slots: Rows[int]) -> list[int]:
        """Rows whose draws the device's sampler cannot make."""
        if not self._not_served:
            return []
        return [row for row, slot in enumerate(slots) if slot in self._not_served]

    def new_blocks(self, sequences: Rows[Sequence], room: int) -> list[int]:
        """Slot, place and block of every block that `tables` lacks, one after the other; with more than `room` of them
        they are written at once, and the list is empty.
        """
        updates: list[int] = []
        uploaded = self._uploaded
        for sequence in sequences:
            blocks, slot = sequence.blocks, sequence.slot
            if len(blocks) != uploaded[slot]:
                for place in range(uploaded[slot], len(blocks)):
                    updates += (slot, place, blocks[place])
                uploaded[slot] = len(blocks)
        if len(updates) <= 3 * room:
            return updates
        columns = torch.tensor(updates, dtype=torch.int64).view(-1, 3).t().contiguous()
        slots, places, numbers = sent(columns, self.tables.device)
        self.tables.index_put_((slots, places), numbers.to(torch.int32))
        return []
