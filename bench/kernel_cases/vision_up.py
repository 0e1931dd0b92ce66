"""The vision tower's widest product with its activation: as two launches, and as one of our own.

Run by name, `kernels.py --groups vision_up`: the tower uses two launches unless one is found to be faster here.
"""
# ruff: noqa: N803, N806 - constants of a kernel are named as Triton names them

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from kernel_timing import Case, relative_error
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from upright.kernels.activation import quick_gelu
from upright.kernels.linear import linear

PAGE, CROPS = 5476, 8000  # patches of a page, and of ten crops
SIZE, WIDE = 1280, 5120


class Tiling(NamedTuple):
    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


TILINGS = (
    Tiling(128, 256, 64, 8, 3),
    Tiling(128, 256, 64, 8, 4),
    Tiling(128, 128, 64, 8, 4),
    Tiling(128, 128, 64, 4, 4),
    Tiling(256, 128, 64, 8, 3),
)


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    for name, rows in {"1 page": PAGE, "2 pages": 2 * PAGE, "10 crops": CROPS}.items():
        x = torch.randn(rows, SIZE, device=device, dtype=torch.bfloat16)
        weight = torch.randn(WIDE, SIZE, device=device, dtype=torch.bfloat16) * SIZE**-0.5
        bias = torch.randn(WIDE, device=device, dtype=torch.bfloat16)
        exact = x.float() @ weight.float().T + bias.float()
        expected = exact * torch.sigmoid(1.702 * exact)
        ways: dict[str, Callable[[], Tensor]] = {
            "cublas, gelu": lambda x=x, w=weight, b=bias: quick_gelu(linear(x, w, b)),
            "cublas": lambda x=x, w=weight, b=bias: linear(x, w, b),
        }
        for tiling, persistent in product(TILINGS, (True, False)):
            label = "x".join(map(str, tiling[:3])) + f" w{tiling.warps} s{tiling.stages}" + " p" * persistent
            ways[label] = lambda x=x, w=weight, b=bias, t=tiling, p=persistent: up(x, w, b, t, p)
        for label, way in ways.items():
            check = None if label == "cublas" else lambda way=way, expected=expected: relative_error(way(), expected)
            yield Case(
                f"up and gelu, {name}", label, way, 2 * (WIDE * SIZE + rows * (SIZE + WIDE)), 2 * rows * WIDE * SIZE,
                check,
            )  # fmt: skip


def up(x: Tensor, weight: Tensor, bias: Tensor, tiling: Tiling, persistent: bool) -> Tensor:
    """quick_gelu(x [rows, size] times `weight` [wide, size] transposed + bias); wide a multiple of the columns."""
    rows, wide = x.shape[0], weight.shape[0]
    result = torch.empty(rows, wide, dtype=x.dtype, device=x.device)
    half = tiling.columns // 2
    tiles = triton.cdiv(rows, tiling.rows) * (wide // tiling.columns)
    programs = tiles
    if persistent and x.is_cuda:
        programs = min(tiles, torch.cuda.get_device_properties(x.device).multi_processor_count)
    _up[(programs,)](
        TensorDescriptor.from_tensor(x, [tiling.rows, tiling.depth]),
        TensorDescriptor.from_tensor(weight, [tiling.columns, tiling.depth]),
        TensorDescriptor.from_tensor(result, [tiling.rows, half]),
        bias, rows, wide, programs, SIZE=x.shape[1],
        ROWS=tiling.rows, COLUMNS=tiling.columns, DEPTH=tiling.depth, PERSISTENT=persistent,
        num_warps=tiling.warps, num_stages=tiling.stages,
    )  # fmt: skip
    return result


@triton.jit
def _gelu(value, bias):
    value += bias.to(tl.float32)[None, :]
    return value / (1.0 + tl.exp(-1.702 * value))


@triton.jit
def _up(
    x, weight, result, bias, rows, wide, programs, SIZE: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    HALF: tl.constexpr = COLUMNS // 2
    down = tl.cdiv(rows, ROWS)
    tiles = down * (wide // COLUMNS)
    for tile in tl.range(tl.program_id(0), tiles, programs, flatten=PERSISTENT):
        # eight tiles of rows share their columns' weights before the next columns follow
        group, within = tile // (8 * (wide // COLUMNS)), tile % (8 * (wide // COLUMNS))
        high = tl.minimum(down - group * 8, 8)
        top = (group * 8 + within % high) * ROWS
        left = within // high * COLUMNS
        sums = tl.zeros((ROWS, COLUMNS), tl.float32)
        for step in range(0, SIZE, DEPTH):
            sums = tl.dot(x.load([top, step]), weight.load([left, step]).T, sums)
        first, second = tl.split(tl.permute(tl.reshape(sums, (ROWS, 2, HALF)), (0, 2, 1)))
        place = left + tl.arange(0, HALF)
        result.store([top, left], _gelu(first, tl.load(bias + place)).to(bias.dtype.element_ty))
        result.store([top, left + HALF], _gelu(second, tl.load(bias + place + HALF)).to(bias.dtype.element_ty))
