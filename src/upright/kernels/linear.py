"""Matrix products with weights: the one door through which every linear layer goes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [T, in] times weight [out, in] transposed, plus bias [out]: [T, out] in the dtype of `x`."""
    return functional.linear(x, weight, bias)
