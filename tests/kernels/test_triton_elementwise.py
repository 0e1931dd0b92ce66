"""The Triton kernels around the matrix products against their references, over odd shapes and strides."""

from __future__ import annotations

import pytest
import torch

from tests.triton_device import DEVICE, DTYPES, close, triton_only, triton_serves  # noqa: F401
from upright.kernels.activation import quick_gelu, quick_gelu_reference, silu_gate, silu_gate_reference
from upright.kernels.decode_inputs import (
    apply_table_updates,
    apply_table_updates_reference,
    prepare_decode,
    prepare_decode_reference,
)
from upright.kernels.kv_store import rotate_and_store, rotate_and_store_reference
from upright.kernels.normalise import add_rms_norm, add_rms_norm_reference, rms_norm, rms_norm_reference
from upright.kernels.rotary import rotate_, rotate_reference, rotation_of_angles, rotation_of_positions

pytestmark = [*triton_only, pytest.mark.usefixtures("triton_serves")]

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """New floating-point memory is NaN: what a kernel forgets to write is seen."""
    empty = torch.empty

    def nan(*args, **kwargs):
        made = empty(*args, **kwargs)
        return made.fill_(float("nan")) if made.is_floating_point() else made.fill_(-(2**31) + 1)

    monkeypatch.setattr(torch, "empty", nan)


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(DEVICE, dtype)


@dtypes
@pytest.mark.parametrize("shape", [(1, 896), (3, 1), (70, 96), (2, 3584), (5, 77), (1, 1537)], ids=str)
def test_rms_norm(dtype, shape):
    x, weight = draw(*shape, dtype=dtype), draw(shape[1], dtype=dtype)
    close(rms_norm(x, weight, 1e-5), rms_norm_reference(x, weight, 1e-5), dtype)


@dtypes
@pytest.mark.parametrize("wide", [False, True], ids=["", "wide"])
@pytest.mark.parametrize("shape", [(1, 896), (70, 96), (2, 3584), (3, 33)], ids=str)
@pytest.mark.parametrize("factor", [1.0, 256.0])
def test_add_rms_norm(dtype, wide, shape, factor):
    residual = draw(*shape, dtype=torch.float32 if wide else dtype)
    storage = draw(shape[0], shape[1] + 5, dtype=dtype)
    delta, weight = storage[:, 2 : 2 + shape[1]], draw(shape[1], dtype=dtype)
    total, normed = add_rms_norm_reference(residual, delta, weight, 1e-6, factor)
    overflow = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    result = add_rms_norm(residual, delta, weight, 1e-6, factor, overflow)
    close(residual, total, residual.dtype)
    close(result, normed, dtype)
    assert result.dtype == dtype
    assert overflow.item() == 0


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_value_that_is_not_finite_sets_the_flag_of_its_layer(value):
    residual, delta = draw(9, 100), draw(9, 100, dtype=torch.float16)
    delta[7, 99] = value
    flags = torch.zeros(3, 1, dtype=torch.int32, device=DEVICE)
    add_rms_norm(residual, delta, draw(100, dtype=torch.float16), 1e-6, overflow=flags[1])
    assert flags.flatten().tolist() == [0, 1, 0]


@dtypes
@pytest.mark.parametrize("shape", [(1, 4864), (3, 10), (2, 1025)], ids=str)
@pytest.mark.parametrize("factor", [1.0, 2.0**-8])
def test_silu_gate(dtype, shape, factor):
    x = draw(shape[0], 2 * shape[1] + 3, dtype=dtype)[:, : 2 * shape[1]] * 3
    close(silu_gate(x, factor), silu_gate_reference(x, factor), dtype)


def test_a_gated_value_beyond_float16_fits_with_a_factor():
    x = torch.full((2, 20), 1000.0, dtype=torch.float16, device=DEVICE)
    assert silu_gate(x).isinf().all()
    assert silu_gate(x, 2.0**-8).eq(1e6 / 256).all()


@dtypes
@pytest.mark.parametrize("biased", [False, True])
def test_quick_gelu(dtype, biased):
    x, bias = draw(5, 1300, dtype=dtype), draw(1300, dtype=dtype) if biased else None
    close(quick_gelu(x, bias), quick_gelu_reference(x, bias), dtype)


def test_activations_of_large_values_are_finite():
    x = torch.tensor([[-200.0, 200.0, -3e4, 3e4]], device=DEVICE)
    assert quick_gelu(x).tolist() == [[-0.0, 200.0, -0.0, 3e4]]
    assert silu_gate(torch.cat((x, torch.ones_like(x)), dim=1)).tolist() == [[-0.0, 200.0, -0.0, 3e4]]


# ---- rotation --------------------------------------------------------------------------------------------------------


def frequencies(size: int) -> torch.Tensor:
    return (1.0 / 1e6 ** (torch.arange(0, size, 2) / size)).to(DEVICE)


@pytest.mark.parametrize("size", [2, 6, 64, 80, 96, 128])
def test_angles_of_positions_on_three_axes_and_on_one(size):
    rows = torch.randint(0, 100_000, (3, 4), device=DEVICE)
    axes = torch.randint(0, 3, (size // 2,), device=DEVICE)
    for positions, axis in ((rows, axes), (rows, None), (rows[1], axes), (rows[1].int(), None), (rows[:, ::2], axes)):
        turn = rotation_of_positions(positions, frequencies(size), axis, torch.float32)
        if positions.dim() == 1:
            expected = positions[:, None] * frequencies(size)
        else:
            expected = (positions[axis].t() if axis is not None else positions[0][:, None]) * frequencies(size)
        close(turn.cosine[:, 0, : size // 2], expected.double().cos(), torch.float32)
        close(turn.cosine[:, 0, size // 2 :], expected.double().cos(), torch.float32)
        close(turn.sine[:, 0, : size // 2], -expected.double().sin(), torch.float32)
        close(turn.sine[:, 0, size // 2 :], expected.double().sin(), torch.float32)


@dtypes
@pytest.mark.parametrize("size", [6, 80])
def test_rotation_in_place_of_a_part_of_a_row(dtype, size):
    rows, angles = draw(5, 7, size, dtype=dtype), draw(5, size // 2) * 100
    expected = torch.cat((rotate_reference(rows[:, :4].float(), angles).to(dtype), rows[:, 4:]), dim=1)
    rotate_(rows[:, :4], rotation_of_angles(angles, torch.float32))
    close(rows, expected, dtype)


@dtypes
@pytest.mark.parametrize("biased", [False, True], ids=["", "biased"])
@pytest.mark.parametrize(
    ("tokens", "heads", "kv_heads", "size"),
    [(1, 14, 2, 64), (3, 28, 4, 128), (5, 3, 1, 80), (2, 4, 4, 96), (7, 5, 1, 6), (2, 1, 1, 2)],
)
def test_rotate_and_store(dtype, biased, tokens, heads, kv_heads, size):
    count = heads + 2 * kv_heads
    qkv, angles = draw(tokens, count, size, dtype=dtype), draw(tokens, size // 2) * 10
    bias = draw(count * size, dtype=dtype) if biased else None
    cache = torch.full((4, 3, 2, kv_heads, size), -1.0, dtype=dtype, device=DEVICE)
    expected_cache = cache.clone()
    slots = torch.randperm(12)[:tokens].to(DEVICE)
    expected = rotate_and_store_reference(qkv, bias, angles, expected_cache, slots, heads)
    query = rotate_and_store(qkv, bias, rotation_of_angles(angles, torch.float32), cache, slots, heads)
    close(query, expected, dtype)
    close(cache, expected_cache, dtype)
    values = slice(heads + kv_heads, None)
    if not biased:  # values are copied, to the last bit
        assert torch.equal(cache.view(12, 2, kv_heads, size)[slots, 1], qkv[:, values])


def test_a_row_of_a_negative_slot_is_not_stored():
    qkv, angles = draw(2, 6, 8), draw(2, 4)
    cache = torch.full((2, 2, 2, 1, 8), -1.0, device=DEVICE)
    rotate_and_store(qkv, None, rotation_of_angles(angles, torch.float32), cache, torch.tensor([-1, 3]).to(DEVICE), 4)
    assert cache.view(4, -1)[:3].eq(-1).all()
    assert cache.view(4, -1)[3].ne(-1).all()


# ---- decode inputs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "slots", "width", "block_size"), [(1, 3, 1, 16), (5, 9, 1030, 16), (17, 17, 33, 7)])
def test_prepare_decode(rows, slots, width, block_size):
    def numbers(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, dtype=torch.int32, device=DEVICE)

    packed = torch.stack((torch.randperm(slots)[:rows].int(), torch.randint(0, width * block_size, (rows,)).int()))
    packed = packed.to(DEVICE)
    drawn, tables = numbers(150_000, slots).long(), numbers(2**27, slots, width + 3)[:, :width]
    deltas = numbers(2000, slots) - 1000
    arguments = (packed[0], packed[1], drawn, tables, deltas, block_size)
    ours, reference = prepare_decode(*arguments), prepare_decode_reference(*arguments)
    for name, value, expected in zip(reference._fields, ours, reference, strict=True):
        assert value.dtype == expected.dtype, name
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("count", [0, 1, 3, 300])
def test_table_updates(count):
    tables = torch.zeros(20, 50, dtype=torch.int32, device=DEVICE)
    places = torch.randperm(1000)[:count]
    updates = torch.stack((places // 50, places % 50, torch.arange(count) + 1), dim=1).int()
    updates[: count // 2, 0] *= torch.tensor(-1)
    updates[: count // 2, 0] -= 1  # slots -1 and below: places of a buffer that was not filled
    expected = tables.clone()
    updates = updates.to(DEVICE)
    apply_table_updates_reference(expected, updates)
    apply_table_updates(tables, updates)
    assert torch.equal(tables, expected)
