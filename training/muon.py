"""Muon (Jordan et al. 2024): momentum whose matrices are made nearly orthogonal, so that all directions move alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

# Coefficients of the quintic iteration that the authors found by search: fast, and good to within 0.3 of one
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """[n, rows, columns], each with all its singular values brought close to one."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.transpose(1, 2)
        x = _A * x + (_B * square + _C * square @ square) @ x
    return torch.as_tensor(x.transpose(1, 2) if tall else x)


class Muon(torch.optim.Optimizer):
    """For matrices alone; those of one shape take their steps together. A rate that is a tensor may change between
    replays of a recorded step.
    """

    def __init__(
        self, matrices: Iterable[Tensor], lr: float | Tensor = 0.02, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for part in group["params"]:
                if part.grad is not None:
                    alike[part.shape].append(part)
            for shape, parts in alike.items():
                for part in parts:
                    if "momentum" not in self.state[part]:
                        self.state[part]["momentum"] = torch.zeros_like(part)
                momenta = [self.state[part]["momentum"] for part in parts]
                grads = [part.grad for part in parts if part.grad is not None]
                torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
                ahead = torch._foreach_lerp(grads, momenta, group["momentum"])
                moved = orthogonal(torch.stack(ahead)) * max(1.0, shape[0] / shape[1]) ** 0.5
                if group["weight_decay"]:
                    torch._foreach_mul_(parts, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_sub_(parts, list((moved.to(parts[0].dtype) * group["lr"]).unbind()))
