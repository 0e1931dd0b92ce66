"""Matrix products with weights: the one door through which every linear layer goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec
from torch import Tensor
from torch.nn import functional

from upright.kernels.activation import silu_gate


class Linear(Protocol):
    """What `linear` is, or anything that computes the same."""

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor: ...


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [T, in] times weight [out, in] transposed, plus bias [out]: [T, out] in the dtype of `x`."""
    return functional.linear(x, weight, bias)


class Product(NamedTuple):
    """What a way is chosen for."""

    outputs: int
    inputs: int
    rows: int  # the largest of a bucket
    gated: bool


GAIN = 0.97  # of cuBLAS's time that a kernel of ours may take to be worth another path


class ProductTimes(msgspec.Struct, frozen=True):
    """Microseconds of a product of `rows` rows with weights [outputs, inputs], by each way.

    `gated`: with `silu_gate` of it, which is a launch of its own behind cuBLAS.
    """

    outputs: int
    inputs: int
    rows: int
    cublas: float
    ours: dict[str, float]  # by the name of the way
    gated: bool = False

    @property
    def product(self) -> Product:
        return Product(self.outputs, self.inputs, self.rows, self.gated)

    @property
    def best(self) -> str | None:
        """The way of ours to take; None where cuBLAS serves."""
        fastest = min(self.ours, key=lambda way: self.ours[way], default=None)
        return fastest if fastest is not None and self.ours[fastest] < self.cublas * GAIN else None


@dataclass(frozen=True)
class MeasuredLinear:
    """`linear`, except where a kernel of ours was measured to be faster; made by `measure_linear`.

    `ways` has an entry for each such product: what `linear` takes, or `gated_linear` where it is gated. Calls must
    follow each other on the device, since ways may share memory.
    """

    ways: Mapping[Product, Callable[..., Tensor]]
    buckets: tuple[int, ...]  # rows, ascending
    times: Sequence[ProductTimes]  # that `ways` come from

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        way = self._way(x, weight, gated=False)
        return linear(x, weight, bias) if way is None else way(x, weight, bias)

    def gated(self, x: Tensor, weight: Tensor, bias: Tensor | None, factor: float) -> Tensor:
        """As `gated_linear`."""
        way = self._way(x, weight, gated=True)
        return silu_gate(linear(x, weight, bias), factor) if way is None else way(x, weight, bias, factor)

    def _way(self, x: Tensor, weight: Tensor, gated: bool) -> Callable[..., Tensor] | None:
        """None for what is cuBLAS's."""
        if not 0 < x.shape[0] <= self.buckets[-1]:
            return None
        bucket = next(most for most in self.buckets if x.shape[0] <= most)
        return self.ways.get(Product(weight.shape[0], weight.shape[1], bucket, gated))


def gated_linear(product: Linear, x: Tensor, weight: Tensor, bias: Tensor | None, factor: float) -> Tensor:
    """`silu_gate` of `product`: x [T, in], weight [2 * size, in], bias [2 * size]: [T, size]."""
    if isinstance(product, MeasuredLinear):
        return product.gated(x, weight, bias, factor)
    return silu_gate(product(x, weight, bias), factor)
