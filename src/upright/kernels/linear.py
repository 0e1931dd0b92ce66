"""Matrix products with weights: the one door through which every linear layer goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from upright.kernels.triton.skinny_matmul import Workspace


class Linear(Protocol):
    """What `linear` is, or anything that computes the same."""

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor: ...


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [T, in] times weight [out, in] transposed, plus bias [out]: [T, out] in the dtype of `x`."""
    return functional.linear(x, weight, bias)


GAIN = 0.97  # of cuBLAS's time that our own kernel may take to be worth another path


class ProductTimes(msgspec.Struct, frozen=True):
    """Microseconds of a product of `rows` rows with weights [outputs, inputs], by each way."""

    outputs: int
    inputs: int
    rows: int
    cublas: float
    ours: dict[int, float]  # by the number of parts into which the inputs are cut

    @property
    def splits(self) -> int | None:
        """Into how many parts our own kernel had best cut the inputs; None where cuBLAS serves."""
        fastest = min(self.ours, key=lambda splits: self.ours[splits])
        return fastest if self.ours[fastest] < self.cublas * GAIN else None


@dataclass(frozen=True)
class MeasuredLinear:
    """`linear`, except where our own kernel was measured to be faster; made by `measure_linear`.

    `splits` has an entry for each such product: (outputs, inputs, rows) → into how many parts to cut the inputs. Its
    rows are the largest of a bucket. Calls must follow each other on the device, since they share `work`.
    """

    splits: Mapping[tuple[int, int, int], int]
    buckets: tuple[int, ...]  # rows, ascending
    work: Workspace
    times: Sequence[ProductTimes]  # that `splits` come from

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rows = x.shape[0]
        if rows <= self.buckets[-1]:
            bucket = next(most for most in self.buckets if rows <= most)
            splits = self.splits.get((weight.shape[0], weight.shape[1], bucket))
            if splits is not None and rows > 0:
                from upright.kernels.triton.skinny_matmul import matmul

                return matmul(x, weight, bias, splits, self.work)
        return linear(x, weight, bias)
