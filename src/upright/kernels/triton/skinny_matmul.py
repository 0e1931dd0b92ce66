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

MOST_ROWS = 64
_OUTPUTS = 64  # of a program
_INPUTS = 128  # read at once
_MOST_SPLITS = 16


@dataclass(frozen=True)
class Workspace:
    """What the splits of a product leave for each other. Products that share it must follow each other."""

    sums: Tensor  # float32 [splits * rows * outputs] of the product that needs most
    arrived: Tensor  # int32 [blocks of outputs], 0 between launches

    @classmethod
    def allocate(cls, products: Collection[tuple[int, int]], device: torch.device) -> Workspace:
        """For `products` of (outputs, splits)."""
        most = max((outputs * splits * MOST_ROWS for outputs, splits in products if splits > 1), default=0)
        blocks = max((triton.cdiv(outputs, _OUTPUTS) for outputs, splits in products if splits > 1), default=0)
        sums = torch.empty(max(1, most), dtype=torch.float32, device=device)
        return cls(sums, torch.zeros(max(1, blocks), dtype=torch.int32, device=device))


def useful_splits(outputs: int, inputs: int, processors: int) -> tuple[int, ...]:
    """Numbers of splits worth trying: such that all processors have one, two or four programs."""
    blocks = triton.cdiv(outputs, _OUTPUTS)
    steps = triton.cdiv(inputs, _INPUTS)
    wanted = {max(1, min(_MOST_SPLITS, steps, round(processors * each / blocks))) for each in (1, 2, 4)}
    return tuple(sorted(wanted))


def matmul(
    x: Tensor, weight: Tensor, bias: Tensor | None, splits: int, work: Workspace, dtype: torch.dtype | None = None
) -> Tensor:
    """[M, out] in `dtype`, that of `x` if not given, of x [M, in], weight [out, in] and bias [out].

    M at most MOST_ROWS; 16-bit values, sm80; values of a row side by side. With more than one split `work` must have
    been allocated for it.
    """
    rows, inputs = x.shape
    outputs = weight.shape[0]
    if rows > MOST_ROWS or x.stride(1) != 1 or not weight.is_contiguous():
        raise ValueError(f"wants at most {MOST_ROWS} rows, not {rows}, with values side by side")
    answer = torch.empty(rows, outputs, dtype=dtype or x.dtype, device=x.device)
    padded = max(16, triton.next_power_of_2(rows))
    _matmul[(triton.cdiv(outputs, _OUTPUTS), splits)](
        x, weight, bias, answer, work.sums, work.arrived, rows, outputs, inputs, x.stride(0), splits,
        ROWS=padded, OUTPUTS=_OUTPUTS, INPUTS=_INPUTS, EVEN=inputs % _INPUTS == 0, BIASED=bias is not None,
        num_warps=4, num_stages=4 if padded <= 32 else 3,
    )  # fmt: skip
    return answer


@triton.jit(do_not_specialize=["rows", "splits"])
def _matmul(
    x, weight, bias, answer, sums, arrived, rows, outputs, inputs, x_stride, splits,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, EVEN: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    split = tl.program_id(1)
    share = tl.cdiv(tl.cdiv(inputs, INPUTS), splits) * INPUTS
    start = split * share
    stop = tl.minimum(start + share, inputs)

    output = block * OUTPUTS + tl.arange(0, OUTPUTS)
    row = tl.arange(0, ROWS)
    column = tl.arange(0, INPUTS)
    # outputs that there are not repeat the last one: their sums are not stored
    weights = weight + tl.minimum(output, outputs - 1).to(tl.int64)[:, None] * inputs + column[None, :]
    values = x + row[:, None] * x_stride + column[None, :]
    present = row[:, None] < rows
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
    at = answer + row[None, :].to(tl.int64) * outputs + output[:, None]
    tl.store(at, product.to(answer.dtype.element_ty), mask=here)
