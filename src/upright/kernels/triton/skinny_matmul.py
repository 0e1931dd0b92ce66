"""Products of a few rows with large weights, where the weights' bytes are all that counts.

The weights are the tall side of the matrix instructions and the rows the short one. Where there are fewer blocks of
outputs than processors, the inputs are cut into splits too; the last split of a block to finish adds them up, always in
the same order, so a product is one launch and equal each time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from upright.kernels.triton import early

MOST_ROWS = 64
_OUTPUTS = 64  # of a program
_MOST_SPLITS = 16
_AHEAD = tl.constexpr(512)  # inputs that an early program asks for before its predecessor has ended


@dataclass(frozen=True)
class Workspace:
    """What the splits of a product leave for each other. Products that share it must follow each other."""

    sums: Tensor  # float32 [splits * rows * outputs] of the product that needs most
    arrived: Tensor  # int32 [blocks of outputs], 0 between launches

    @classmethod
    def allocate(cls, products: Collection[tuple[int, int]], device: torch.device) -> Workspace:
        """For `products` of (outputs, splits)."""
        cut = [(triton.cdiv(outputs, _OUTPUTS), splits) for outputs, splits in products if splits > 1]
        most = max((blocks * splits for blocks, splits in cut), default=0)
        blocks = max((blocks for blocks, _ in cut), default=0)
        sums = torch.empty(max(1, most * _OUTPUTS * MOST_ROWS), dtype=torch.float32, device=device)
        return cls(sums, torch.zeros(max(1, blocks), dtype=torch.int32, device=device))


def useful_splits(outputs: int, inputs: int, processors: int) -> tuple[int, ...]:
    """Numbers of splits worth trying: such that all processors have one, two or four programs."""
    blocks = triton.cdiv(outputs, _OUTPUTS)
    steps = triton.cdiv(inputs, 128)
    wanted = {max(1, min(_MOST_SPLITS, steps, round(processors * each / blocks))) for each in (1, 2, 4)}
    return tuple(sorted(wanted))


def matmul(
    x: Tensor, weight: Tensor, bias: Tensor | None, splits: int, work: Workspace, dtype: torch.dtype | None = None
) -> Tensor:
    """[M, out] in `dtype`, that of `x` if not given, of x [M, in], weight [out, in] and bias [out].

    M at most MOST_ROWS; 16-bit values, sm80; values of a row side by side. With more than one split `work` must have
    been allocated for it.
    """
    answer = torch.empty(x.shape[0], weight.shape[0], dtype=dtype or x.dtype, device=x.device)
    _launch(x, weight, bias, answer, splits, work, None)
    return answer


def gated(
    x: Tensor, weight: Tensor, bias: Tensor | None, factor: float, splits: int, work: Workspace
) -> Tensor:  # fmt: skip
    """`kernels.activation.silu_gate` of what `matmul` gives, [M, out / 2] in the dtype of `x`, in the same launch."""
    answer = torch.empty(x.shape[0], weight.shape[0] // 2, dtype=x.dtype, device=x.device)
    _launch(x, weight, bias, answer, splits, work, factor)
    return answer


def _launch(
    x: Tensor, weight: Tensor, bias: Tensor | None, answer: Tensor, splits: int, work: Workspace, factor: float | None
) -> None:
    """`factor`: None for the product itself."""
    rows, inputs = x.shape
    outputs = weight.shape[0]
    if rows > MOST_ROWS or x.stride(1) != 1 or not weight.is_contiguous():
        raise ValueError(f"wants at most {MOST_ROWS} rows, not {rows}, with values side by side")
    padded = max(16, triton.next_power_of_2(rows))
    blocks = triton.cdiv(outputs, _OUTPUTS)
    step, stages = _cut(padded, blocks)
    _matmul[(blocks, splits)](
        x, weight, bias, answer, work.sums, work.arrived, rows, outputs, inputs, x.stride(0), splits, factor or 0.0,
        ROWS=padded, OUTPUTS=_OUTPUTS, INPUTS=step, EVEN=inputs % step == 0, BIASED=bias is not None,
        GATED=factor is not None, num_warps=4, num_stages=stages, **early.options(x.device),
    )  # fmt: skip


def _cut(rows: int, blocks: int) -> tuple[int, int]:
    """Inputs that are read at once, and how many such loads are in flight. Measured on an H100: with many rows smaller
    pieces let more programs on a multiprocessor, except where there are so many that the last ones do not count.
    """
    if rows <= 32:
        return 128, 4
    return (128, 3) if blocks > 1024 else (64, 4)


@triton.jit(do_not_specialize=["rows", "splits"])
def _matmul(
    x, weight, bias, answer, sums, arrived, rows, outputs, inputs, x_stride, splits, factor,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, EVEN: tl.constexpr, BIASED: tl.constexpr,
    GATED: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    split = tl.program_id(1)
    share = tl.cdiv(tl.cdiv(inputs, INPUTS), splits) * INPUTS
    start = split * share
    stop = tl.minimum(start + share, inputs)

    output = block * OUTPUTS + tl.arange(0, OUTPUTS)
    if GATED:  # a gate and what it gates stand side by side, of which one is half of the outputs behind the other
        output = tl.minimum(output // 2, outputs // 2 - 1) + output % 2 * (outputs // 2)
    row = tl.arange(0, ROWS)
    column = tl.arange(0, INPUTS)
    # outputs that there are not repeat the last one: their sums are not stored
    weights = weight + tl.minimum(output, outputs - 1).to(tl.int64)[:, None] * inputs + column[None, :]
    values = x + row[:, None] * x_stride + column[None, :]
    present = row[:, None] < rows
    if EARLY:
        line = tl.arange(0, _AHEAD // 64) * 64  # values of 128 bytes
        first = tl.minimum(start + line, inputs - 1)
        early.prefetch(weight + tl.minimum(output, outputs - 1).to(tl.int64)[:, None] * inputs + first[None, :])
        gdc_wait()
        gdc_launch_dependents()
    product = tl.zeros([OUTPUTS, ROWS], tl.float32)
    for begin in range(start, stop, INPUTS):
        if EVEN:
            w = tl.load(weights + begin)
            v = tl.load(values + begin, mask=present, other=0.0)
        else:
            inside = begin + column[None, :] < inputs
            w = tl.load(weights + begin, mask=inside, other=0.0)
            v = tl.load(values + begin, mask=present & inside, other=0.0)
        product = tl.dot(w, tl.trans(v), product)

    here = (output[:, None] < outputs) & (row[None, :] < rows)
    if splits > 1:
        place = row[None, :] * outputs + output[:, None]
        size = rows * outputs
        tl.store(sums + split.to(tl.int64) * size + place, product, mask=here)
        tl.debug_barrier()  # all of the program's stores come before its arrival
        before = tl.atomic_add(arrived + block, 1, sem="acq_rel", scope="gpu")
        if before != splits - 1:
            return
        tl.store(arrived + block, 0)
        product = tl.zeros([OUTPUTS, ROWS], tl.float32)
        for other in range(0, splits):
            product += tl.load(
                sums + tl.cast(other, tl.int64) * size + place, mask=here, other=0.0, cache_modifier=".cg"
            )  # fmt: skip
    if BIASED:
        product += tl.load(bias + output, mask=output < outputs, other=0.0).to(tl.float32)[:, None]
    if GATED:
        pairs = tl.permute(tl.reshape(product, [OUTPUTS // 2, 2, ROWS]), [0, 2, 1])
        gate, up = tl.split(pairs)
        product = gate / (1.0 + tl.exp(-gate)) * up * factor
        outputs = outputs // 2
        output = block * (OUTPUTS // 2) + tl.arange(0, OUTPUTS // 2)
        here = (output[:, None] < outputs) & (row[None, :] < rows)
    at = answer + row[None, :].to(tl.int64) * outputs + output[:, None]
    tl.store(at, product.to(answer.dtype.element_ty), mask=here)
