"""Root-mean-square normalisation over the last dimension."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x²) + epsilon) * weight (Zhang and Sennrich 2019, arXiv:1910.07467), in the dtype of `x`.

    x [T, size], weight [size]; the mean is taken in float32.
    """
    return functional.rms_norm(x, (x.shape[-1],), weight, epsilon)


def rms_norm_reference(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * scale).to(x.dtype) * weight
