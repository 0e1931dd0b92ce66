"""Root-mean-square normalisation over the last dimension, alone and with the addition to the residual before it."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from upright.kernels.compiled import serves


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x²) + epsilon) * weight (Zhang and Sennrich 2019, arXiv:1910.07467), in the dtype of `weight`.

    x [T, size], of the dtype of `weight` or float32; weight [size]; the mean is taken in float32.
    """
    if serves(x):
        from upright.kernels.triton import normalise

        return normalise.add_rms_norm(x, None, weight, epsilon, 1.0, None)
    if x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32:
        # torch has no fused kernel here and composes a dozen small ones; these five take 60 % of their time
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.addcmul(_scalar(epsilon), norm, norm, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).mul_(weight)
    return functional.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), epsilon).to(weight.dtype)


def add_rms_norm(
    residual: Tensor, delta: Tensor, weight: Tensor, epsilon: float, factor: float = 1.0,
    overflow: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Add `delta * factor` to `residual` in place and return the `rms_norm` of the sum.

    residual [T, size] may be float32 where delta and weight are narrower. `overflow` int32 [1] is set to 1 when a
    value of the sum is infinite or NaN, and otherwise left as it is; nothing waits for it.
    """
    if serves(residual):
        from upright.kernels.triton import normalise

        return normalise.add_rms_norm(residual, delta, weight, epsilon, factor, overflow)
    residual.add_(delta, alpha=factor)
    if overflow is not None:
        overflow.logical_or_(~torch.isfinite(residual).all())
    return rms_norm(residual, weight, epsilon)


@cache
def _scalar(value: float) -> Tensor:
    """`value` as a tensor, made once: wrapping a number costs as much as a small operation."""
    return torch.tensor(value)


def rms_norm_reference(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The same as `rms_norm`, written as the definition says."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * scale).to(weight.dtype) * weight


def add_rms_norm_reference(
    residual: Tensor, delta: Tensor, weight: Tensor, epsilon: float, factor: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The sum that `add_rms_norm` leaves behind, and what it returns."""
    total = (residual.float() + delta.float() * factor).to(residual.dtype)
    return total, rms_norm_reference(total, weight, epsilon)
