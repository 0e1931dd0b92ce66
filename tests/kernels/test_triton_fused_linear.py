"""Fused products of few tokens against the operations that they are made of."""

from __future__ import annotations

import pytest
import torch

from tests.triton_device import DEVICE, DTYPES, triton_only, triton_serves  # noqa: F401
from upright.kernels import fused_linear
from upright.kernels.activation import silu_gate_reference
from upright.kernels.kv_store import rotate_and_store_reference
from upright.kernels.normalise import rms_norm_reference
from upright.kernels.rotary import rotation_of_angles

pytestmark = [*triton_only, pytest.mark.usefixtures("triton_serves")]

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
biases = pytest.mark.parametrize("biased", [False, True], ids=["", "biased"])
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(DEVICE, dtype)


def close(ours: torch.Tensor, wide: torch.Tensor, dtype: torch.dtype) -> None:
    """Equal to a result in float32 but for the rounding of `dtype`, relative to the largest value."""
    error = (ours.float() - wide).abs().max() / wide.abs().max()
    assert error <= TOLERANCE[dtype], f"off by {error} of the largest value"


def matrix(out: int, size: int, dtype: torch.dtype) -> torch.Tensor:
    return (draw(out, size) / size**0.5).to(dtype)


@dtypes
@biases
@pytest.mark.parametrize(
    ("tokens", "out", "size", "factor"), [(1, 21, 896, 1.0), (3, 5, 33, 256.0), (1, 7, 4864, 256.0), (2, 3, 2049, 1.0)]
)
def test_add_linear(dtype, biased, tokens, out, size, factor):
    x, weight, bias = (
        draw(tokens, size, dtype=dtype),
        matrix(out, size, dtype),
        draw(out, dtype=dtype) if biased else None,
    )
    residual = draw(tokens, out, dtype=torch.float32 if dtype == torch.float16 else dtype)
    expected = residual.float() + x.float() @ weight.float().T * factor + (0 if bias is None else bias.float())
    flag = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    fused_linear.add_linear(residual, x, weight, bias, factor, flag)
    close(residual, expected, dtype)
    assert flag.item() == 0


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_value_that_is_not_finite_sets_the_flag(value):
    x, residual = draw(1, 40), draw(1, 70)
    residual[0, 69] = value
    flag = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    fused_linear.add_linear(residual, x, matrix(70, 40, torch.float32), None, overflow=flag)
    assert flag.item() == 1


@dtypes
@biases
@pytest.mark.parametrize(
    ("tokens", "pairs", "size", "factor"), [(1, 13, 896, 1.0), (2, 5, 33, 2.0**-8), (1, 3, 2304, 1.0), (3, 1, 8, 1.0)]
)
def test_norm_gate(dtype, biased, tokens, pairs, size, factor):
    residual = draw(tokens, size, dtype=torch.float32 if dtype == torch.float16 else dtype) * 3
    gain, weight = draw(size, dtype=dtype), matrix(2 * pairs, size, dtype)
    bias = draw(2 * pairs, dtype=dtype) if biased else None
    normed = rms_norm_reference(residual.float(), gain.float(), 1e-6)
    both = normed @ weight.float().T + (0 if bias is None else bias.float())
    gated = fused_linear.norm_gate(residual, gain, weight, bias, 1e-6, factor)
    assert gated.dtype == dtype
    close(gated, silu_gate_reference(both, factor), dtype)


@dtypes
@biases
@pytest.mark.parametrize(
    ("tokens", "heads", "kv_heads", "head", "size"),
    [(1, 2, 1, 64, 896), (2, 1, 1, 80, 100), (3, 4, 4, 6, 33), (1, 1, 1, 2, 8)],
)
def test_norm_qkv(dtype, biased, tokens, heads, kv_heads, head, size):
    count = heads + 2 * kv_heads
    residual = draw(tokens, size, dtype=torch.float32 if dtype == torch.float16 else dtype)
    gain, weight = draw(size, dtype=dtype), matrix(count * head, size, dtype)
    bias = draw(count * head, dtype=dtype) if biased else None
    angles, slots = draw(tokens, head // 2) * 10, torch.tensor([4, 0, 5], device=DEVICE)[:tokens]
    cache = torch.full((2, 3, 2, kv_heads, head), -1.0, dtype=dtype, device=DEVICE)
    expected_cache = cache.float()
    normed = rms_norm_reference(residual.float(), gain.float(), 1e-6)
    qkv = (normed @ weight.float().T).view(tokens, count, head)
    expected = rotate_and_store_reference(qkv, bias, angles, expected_cache, slots, heads)
    turn = rotation_of_angles(angles, torch.float32)
    query = fused_linear.norm_qkv(residual, gain, weight, bias, 1e-6, turn, cache, slots, heads)
    assert query.dtype == dtype
    close(query, expected, dtype)
    close(cache, expected_cache, dtype)
    untouched = ~torch.isin(torch.arange(6, device=DEVICE), slots)
    assert cache.view(6, -1)[untouched].eq(-1).all()
