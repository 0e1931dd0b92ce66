"""Attention and small products compile for the GPUs that they are meant for, as the models that count launch them."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from tests.triton_aot import launches_of
from upright.kernels.attention.batch import decode_batch, make_batch
from upright.kernels.attention.portable import PORTABLE
from upright.kernels.attention.runs import Runs
from upright.kernels.attention.tiles import TRITON
from upright.kernels.rotary import Rotation

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"),
]

SHAPES = {"MinerU": (14, 2, 64), "2B": (12, 2, 128), "7B": (28, 4, 128)}
MOST_SHARED = {75: 64 * 1024, 80: 163 * 1024, 90: 227 * 1024}
on = pytest.mark.parametrize(("capability", "dtype"), [(80, torch.float16), (90, torch.bfloat16)], ids=["sm80", "sm90"])


def check(call, capability, instruction):
    for launch in launches_of(call):
        made = launch.compile(capability)
        assert made.metadata.shared <= MOST_SHARED[capability]
        assert instruction is None or instruction in made.asm["ptx"]


def decode_inputs(shape, dtype):
    heads, kv_heads, size = shape
    layer = torch.empty(64, 16, 2, kv_heads, size, dtype=dtype)
    batch = decode_batch(torch.zeros(8).long(), torch.zeros(8, 128).int(), torch.ones(8).int())
    return torch.empty(8, heads + 2 * kv_heads, size, dtype=dtype)[:, :heads], layer, batch, 0.1


@on
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_decode(shape, capability, dtype):
    check(lambda: TRITON.paged(*decode_inputs(shape, dtype)), capability, "mma.sync")


@pytest.mark.parametrize("shape", [*SHAPES.values(), (4, 4, 80)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_decode_on_old_cards(shape, dtype):
    check(lambda: PORTABLE.paged(*decode_inputs(shape, dtype)), 75, None)


def turned(candidate, shape, dtype):
    heads, kv_heads, size = shape
    _, layer, batch, scale = decode_inputs(shape, dtype)
    qkv, bias = torch.empty(8, heads + 2 * kv_heads, size, dtype=dtype), torch.empty((heads + 2 * kv_heads) * size)
    rotation = Rotation(torch.empty(8, 1, size), torch.empty(8, 1, size))
    return candidate.turned(qkv, bias.to(dtype), rotation, layer, batch, scale)


@on
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_decode_that_turns_first(shape, capability, dtype):
    check(lambda: turned(TRITON, shape, dtype), capability, "mma.sync")


@pytest.mark.parametrize("shape", [*SHAPES.values(), (4, 4, 80)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_decode_that_turns_first_on_old_cards(shape, dtype):
    check(lambda: turned(PORTABLE, shape, dtype), 75, None)


@on
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_mixed(shape, capability, dtype):
    query, layer, _, scale = decode_inputs(shape, dtype)
    batch = make_batch([[0], [1, 2]], [1, 7], [3, 20], 16)
    check(lambda: TRITON.paged(query, layer, batch, scale), capability, None)


def compiled(launch):
    """As `Launch.compile`, for sm90, of a kernel that is written in Gluon and given a description of boxes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.experimental.gluon._runtime import GluonASTSource

    signature, constants, attributes = {}, {}, {}
    for index, parameter in enumerate(launch.kernel.params):
        value = launch.arguments[parameter.name]
        if parameter.is_constexpr or value is None:
            signature[parameter.name], constants[parameter.name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name] = {
                torch.bfloat16: "*bf16", torch.int32: "*i32", torch.float32: "*fp32",
            }[value.dtype]  # fmt: skip
            if not parameter.do_not_specialize:
                attributes[(index,)] = [["tt.divisibility", 16]]
        elif isinstance(value, (int, float)):
            signature[parameter.name] = "i32" if isinstance(value, int) else "fp32"
        else:
            signature[parameter.name] = f"tensordesc<bf16{list(value.block_shape)},{value.layout!r}>"
    source = GluonASTSource(launch.kernel, signature, constants, attributes)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=launch.options)


@pytest.mark.parametrize("shape", [SHAPES["MinerU"], SHAPES["7B"]], ids=str)
def test_prefill_warp_by_warp(shape):
    pytest.importorskip("triton.experimental.gluon", exc_type=ImportError)
    from upright.kernels.triton import overlapped_prefill, paged_prefill

    query, layer, batch, scale = decode_inputs(shape, torch.bfloat16)
    tile_map, output = paged_prefill.tiles([8], [20], [0]), torch.empty(8, *shape[::2], dtype=torch.bfloat16)
    (launch,) = launches_of(
        lambda: overlapped_prefill.attend(query, layer, batch.block_tables, tile_map, scale, output)
    )
    made = compiled(launch)
    assert made.metadata.shared <= MOST_SHARED[90]
    assert "wgmma" in made.asm["ptx"]
    assert "cp.async.bulk.tensor" in made.asm["ptx"]


@on
@pytest.mark.parametrize("size", [64, 80, 128])
def test_packed(size, capability, dtype):
    query, key, value = torch.empty(100, 48, size, dtype=dtype).chunk(3, dim=1)
    instruction = "wgmma" if capability == 90 else "mma.sync"
    check(lambda: TRITON.packed(query, key, value, Runs((60, 40)), 0.1), capability, instruction)


@on
@pytest.mark.parametrize("rows", [8, 32, 64])
def test_products_of_a_few_rows(rows, capability, dtype):
    from upright.kernels.triton.skinny_matmul import Workspace, gated, matmul

    x, weight = torch.empty(rows, 896, dtype=dtype), torch.empty(1152, 896, dtype=dtype)
    work = Workspace.allocate([(1152, 2)], torch.device("cpu"))
    instruction = "wgmma" if capability == 90 else "mma.sync"
    check(lambda: matmul(x, weight, None, 2, work), capability, instruction)
    check(lambda: gated(x, weight, None, 1.0, 2, work), capability, instruction)
