"""Steps of Muon move all directions alike."""

from __future__ import annotations

import pytest
import torch

from training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 24, 8), (2, 8, 24)])
def test_singular_values_come_close_to_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)).float())
    assert values.min() > 0.4 and values.max() < 1.4


def test_it_finds_a_minimum() -> None:
    torch.manual_seed(0)
    target = torch.randn(12, 20)
    weights = [torch.nn.Parameter(torch.zeros(12, 20)), torch.nn.Parameter(torch.zeros(12, 20))]
    optimiser = Muon(weights, lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        sum(((weight - target) ** 2).mean() for weight in weights).backward()
        optimiser.step()
    assert all((weight - target).abs().mean() < 0.1 for weight in weights)
    assert torch.equal(*weights), "those of one shape are told apart by nothing but their gradients"
