"""The decoder's kernels compile for the GPUs that they are meant for, as the models that count launch them."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from tests.triton_aot import Launch, launches_of, recorded
from upright.kernels import compiled, fused_linear
from upright.kernels.activation import quick_gelu, silu_gate
from upright.kernels.decode_inputs import apply_table_updates, prepare_decode
from upright.kernels.kv_store import rotate_and_store
from upright.kernels.normalise import add_rms_norm, rms_norm
from upright.kernels.rotary import Rotation, rotate_, rotation_of_positions

if importlib.util.find_spec("triton") is not None:
    from upright.kernels.triton import early

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"),
]

HALVES = [torch.float16, torch.bfloat16]
SHAPES = {"MinerU": (896, 4864, 14, 2, 64), "2B": (1536, 8960, 12, 2, 128), "7B": (3584, 18944, 28, 4, 128)}
every_chip = pytest.mark.parametrize("capability", [75, 80, 90])  # element-wise kernels serve even a T4, in float16


@pytest.fixture(autouse=True)
def triton_serves(monkeypatch):
    monkeypatch.setattr(compiled, "SERVED", {"cpu"})


def check(launches: list[Launch], capability: int) -> None:
    assert launches
    for launch in launches:
        made = launch.compile(capability)
        assert made.metadata.shared <= 48 * 1024
        assert "sin.approx" not in made.asm["ptx"]  # far too coarse for positions of thousands
        assert ".local" not in made.asm["ptx"] or "_angles" in made.name  # sines of huge angles have a table there


@every_chip
@pytest.mark.parametrize("rows", [1, 8192])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_layers(capability, shape, rows):
    hidden, mlp, heads, kv_heads, size = shape
    for dtype in HALVES if capability >= 80 else [torch.float16]:

        def empty(*shape, dtype=dtype):
            return torch.empty(*shape, dtype=dtype, device="cpu")

        residual = empty(rows, hidden, dtype=torch.float32 if dtype == torch.float16 else dtype)
        flag = empty(1, dtype=torch.int32) if dtype == torch.float16 else None
        count = heads + 2 * kv_heads
        turn = Rotation(empty(rows, 1, size, dtype=torch.float32), empty(rows, 1, size, dtype=torch.float32))
        for factor in (1.0, 256.0):
            arguments = (residual, empty(rows, hidden), empty(hidden), 1e-6, factor, flag)
            check(launches_of(lambda arguments=arguments: add_rms_norm(*arguments)), capability)
            check(launches_of(lambda factor=factor: silu_gate(empty(rows, 2 * mlp), factor)), capability)
        check(launches_of(lambda x=residual: rms_norm(x, empty(hidden), 1e-6)), capability)
        for bias in (None, empty(count * size)):
            arguments = (
                empty(rows, count, size), bias, turn, empty(9, 16, 2, kv_heads, size), empty(rows, dtype=torch.int64),
                heads,
            )  # fmt: skip
            launches = launches_of(lambda arguments=arguments: rotate_and_store(*arguments))
            check(launches, capability)
            assert "ld.global.v4.b32" in launches[0].compile(capability).asm["ptx"]


def test_small_operations_that_start_early_wait_for_their_predecessor(monkeypatch):
    monkeypatch.setattr(early, "serves", lambda device: True)

    def empty(*shape, dtype=torch.bfloat16):
        return torch.empty(*shape, dtype=dtype)

    turn = Rotation(empty(4, 1, 64), empty(4, 1, 64))
    with recorded() as launches:
        add_rms_norm(empty(4, 896), empty(4, 896), empty(896), 1e-6)
        silu_gate(empty(4, 2000))
        quick_gelu(empty(4, 2000), empty(2000))
        rotate_and_store(empty(4, 18, 64), None, turn, empty(9, 16, 2, 2, 64), empty(4, dtype=torch.int64), 14)
    check(launches, 90)
    assert len(launches) == 4
    for launch in launches:
        code = launch.compile(90).asm["ptx"]
        assert launch.options["launch_pdl"]
        assert code.index("griddepcontrol.wait") < code.index("st.global")


@every_chip
def test_what_a_step_does_once(capability):
    def integers(*shape, dtype=torch.int32):
        return torch.zeros(*shape, dtype=dtype)

    positions, turns = integers(3, 5, dtype=torch.int64), torch.ones(64)
    for axes in (None, integers(64, dtype=torch.int64)):
        launches = launches_of(lambda axes=axes: rotation_of_positions(positions, turns, axes, torch.float16))
        check(launches, capability)
    arguments = (integers(8), integers(8), integers(256, dtype=torch.int64), integers(256, 2048), integers(256), 16)
    check(launches_of(lambda: prepare_decode(*arguments)), capability)
    check(launches_of(lambda: apply_table_updates(integers(256, 2048), integers(64, 3))), capability)


@every_chip
def test_the_vision_towers(capability):
    turn = Rotation(torch.empty(64, 1, 80), torch.empty(64, 1, 80))
    heads = torch.empty(64, 48, 80, dtype=torch.float16)
    check(launches_of(lambda: rotate_(heads[:, :32], turn)), capability)
    check(launches_of(lambda: quick_gelu(torch.empty(64, 5120, dtype=torch.float16), torch.empty(5120))), capability)


@every_chip
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("starts_early", [False, True], ids=["", "early"])
@pytest.mark.parametrize("tokens", [1, 2])
def test_products_of_few_tokens(monkeypatch, capability, shape, starts_early, tokens):
    if capability < 90 and (starts_early or tokens > 1):
        pytest.skip("kernels start early from sm90 on; one token is enough for the others")
    monkeypatch.setattr(early, "serves", lambda device: starts_early)
    hidden, mlp, heads, kv_heads, size = shape
    dtype = torch.bfloat16 if capability >= 80 else torch.float16

    def empty(*shape, dtype=dtype):
        return torch.empty(*shape, dtype=dtype, device="cpu")

    wide = torch.float32 if dtype == torch.float16 else dtype
    flag = empty(1, dtype=torch.int32) if dtype == torch.float16 else None
    residual, out = empty(tokens, hidden, dtype=wide), (heads + 2 * kv_heads) * size
    turn = Rotation(empty(tokens, 1, size, dtype=torch.float32), empty(tokens, 1, size, dtype=torch.float32))
    cache, slots = empty(9, 16, 2, kv_heads, size), empty(tokens, dtype=torch.int64)
    with recorded() as launches:
        fused_linear.norm_qkv(residual, empty(hidden), empty(out, hidden), empty(out), 1e-6, turn, cache, slots, heads)
        fused_linear.norm_gate(residual, empty(hidden), empty(2 * mlp, hidden), None, 1e-6)
        fused_linear.add_linear(residual, empty(tokens, heads * size), empty(hidden, heads * size), None, 1.0, flag)
        fused_linear.add_linear(residual, empty(tokens, mlp), empty(hidden, mlp), None, 1.0, flag)
        fused_linear.few_rows_linear(empty(tokens, hidden), empty(1000, hidden))
    check(launches, capability)
    for launch in launches:
        assert launch.options.get("launch_pdl", False) == starts_early
        assert ("griddepcontrol.wait" in launch.compile(capability).asm["ptx"]) == starts_early
