"""Layer normalisation over the last dimension, alone and with the addition to the residual before it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from upright.kernels.compiled import serves


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    x [T, size], of the dtype of `weight` or float32; weight and bias [size]. The result has the dtype of `weight`;
    mean and variance are taken in float32.
    """
    if serves(x):
        from upright.kernels.triton import layer_norm as compiled

        return compiled.add_layer_norm(x, None, weight, bias, epsilon)
    return functional.layer_norm(x, weight.shape, weight.to(x.dtype), bias.to(x.dtype), epsilon).to(weight.dtype)


def add_layer_norm(residual: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Add `delta` to `residual` in place and return the `layer_norm` of the sum; the residual may be float32 where the
    others are narrower.
    """
    if serves(residual):
        from upright.kernels.triton import layer_norm as compiled

        return compiled.add_layer_norm(residual, delta, weight, bias, epsilon)
    return layer_norm(residual.add_(delta), weight, bias, epsilon)


def add_layer_norm_reference(
    residual: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """The sum that `add_layer_norm` leaves behind, and what it returns, written as the definition says."""
    total = (residual.float() + delta.float()).to(residual.dtype)
    centred = total.float() - total.float().mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    return total, (centred * scale * weight.float() + bias.float()).to(weight.dtype)
