"""Root-mean-square normalisation over the last dimension."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x²) + epsilon) * weight (Zhang and Sennrich 2019, arXiv:1910.07467), in the dtype of `x`.

    x [T, size], weight [size]; the mean is taken in float32.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32:
        # torch has no fused kernel here and composes a dozen small ones; these five take 60 % of their time
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(_scalar(epsilon), norm, norm, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).mul_(weight)
    return functional.rms_norm(x, (x.shape[-1],), weight, epsilon)


@cache
def _scalar(value: float) -> Tensor:
    """`value` as a tensor, made once: wrapping a number costs as much as a small operation."""
    return torch.tensor(value)


def rms_norm_reference(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The same, written as the definition says."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * scale).to(x.dtype) * weight
