"""The small kernels against their plain-torch references."""

from __future__ import annotations

import pytest
import torch

from upright.kernels.activation import quick_gelu, silu_gate
from upright.kernels.kv_store import store, store_reference
from upright.kernels.linear import linear
from upright.kernels.normalise import rms_norm, rms_norm_reference
from upright.kernels.rotary import rotate_, rotate_reference, rotation_of_angles


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [1, 7])
def test_rms_norm(dtype, rows):
    x, weight = torch.randn(rows, 96).to(dtype), torch.randn(96).to(dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(
        rms_norm(x, weight, 1e-5), rms_norm_reference(x, weight, 1e-5), atol=tolerance, rtol=tolerance
    )


def test_rms_norm_of_zeros_is_zero():
    assert rms_norm(torch.zeros(2, 8), torch.ones(8), 1e-6).eq(0).all()


@pytest.mark.parametrize("size", [16, 80])
def test_rotation_in_place_of_a_part_of_a_row(size):
    rows = torch.randn(5, 7, size)
    angles = torch.randn(5, size // 2) * 100
    expected = torch.cat((rotate_reference(rows[:, :4], angles), rows[:, 4:]), dim=1)
    rotate_(rows[:, :4], rotation_of_angles(angles, torch.float32))
    torch.testing.assert_close(rows, expected, atol=1e-6, rtol=1e-6)


def test_store_writes_its_slots_and_no_others():
    cache = torch.full((4, 3, 2, 2, 8), -1.0)
    expected = cache.clone()
    fused = torch.randn(5, 9, 8)  # queries before keys and values, as the projection makes them
    slots = torch.tensor([11, 0, 4, 3, 7])
    store(cache, fused[:, 5:], slots)
    store_reference(expected, fused[:, 5:], slots)
    assert torch.equal(cache, expected)


def test_activations():
    x = torch.randn(3, 10)
    gate, up = x[:, :5], x[:, 5:]
    torch.testing.assert_close(silu_gate(x), gate / (1 + torch.exp(-gate)) * up)
    torch.testing.assert_close(quick_gelu(x), x / (1 + torch.exp(-1.702 * x)))


def test_linear():
    x, weight, bias = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5)
    torch.testing.assert_close(linear(x, weight, bias), x @ weight.T + bias)
    torch.testing.assert_close(linear(x, weight), x @ weight.T)
