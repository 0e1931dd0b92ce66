"""What moves the reader's weights, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.model import Reader
from training.muon import Muon


@dataclass(frozen=True)
class Rates:
    """The highest that are learnt at. Without Muon's, AdamW moves all weights."""

    adam: float
    muon: float | None


class Optimisers:
    """Matrices of layers move as Muon says, all else as AdamW does.

    On a GPU their rates are tensors that stay where they are, so that a step can be recorded.
    """

    def __init__(self, model: Reader, rates: Rates) -> None:
        named = dict(model.named_parameters())
        inner = [name for name, part in named.items() if part.dim() == 2 and "embed" not in name]
        rest = [name for name in named if rates.muon is None or name not in set(inner)]
        groups = [
            {"params": [named[name] for name in rest if named[name].dim() > 1], "weight_decay": 0.05},
            {"params": [named[name] for name in rest if named[name].dim() <= 1], "weight_decay": 0.0},
        ]
        device = next(model.parameters()).device
        self._graphed = device.type == "cuda"
        adam = torch.optim.AdamW(
            groups, torch.tensor(0.0, device=device), (0.9, 0.98), fused=self._graphed, capturable=self._graphed
        )
        self._all: list[tuple[torch.optim.Optimizer, float]] = [(adam, rates.adam)]
        if rates.muon is not None:
            muon = Muon([named[name] for name in inner], torch.tensor(0.0, device=device), weight_decay=0.05)
            self._all.append((muon, rates.muon))

    def set_share(self, share: float) -> None:
        """Of the highest rates, from the next step on."""
        for optimiser, highest in self._all:
            for group in optimiser.param_groups:
                group["lr"].fill_(highest * share)

    def step(self) -> None:
        for optimiser, _ in self._all:
            optimiser.step()

    def state(self) -> list[dict[str, object]]:
        return [optimiser.state_dict() for optimiser, _ in self._all]

    def go_on(self, states: list[dict[str, object]]) -> None:
        """From what `state` was in an earlier stage; rates are this stage's."""
        for (optimiser, _), state in zip(self._all, states, strict=True):
            rates: list[Tensor] = [group["lr"] for group in optimiser.param_groups]
            optimiser.load_state_dict(state)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate
