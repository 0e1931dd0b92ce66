"""Rotation of queries and keys, in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from upright.kernels.compiled import serves


@dataclass(frozen=True)
class Rotation:
    """Cosines and signed sines of one step, both [tokens, 1, head size], broadcast over heads.

    `sine` holds -sin in its first half and sin in the second, so that a rotation is `x * cosine + swapped(x) * sine`
    with the halves of x swapped: no negation and no concatenation for each layer. Where compiled kernels serve both are
    float32, otherwise of the heads' dtype.
    """

    cosine: Tensor
    sine: Tensor


def rotation_of_angles(angles: Tensor, dtype: torch.dtype) -> Rotation:
    """The rotation by `angles`, float32 [T, head_size / 2], in radians."""
    cosine, sine = angles.cos(), angles.sin()
    return Rotation(
        cosine=torch.cat((cosine, cosine), dim=-1).unsqueeze(1).to(dtype),
        sine=torch.cat((-sine, sine), dim=-1).unsqueeze(1).to(dtype),
    )


def rotation_of_positions(positions: Tensor, frequencies: Tensor, axes: Tensor | None, dtype: torch.dtype) -> Rotation:
    """The rotation of one step for heads of `dtype`; angles are computed in float32.

    positions int [T] or [3, T]; frequencies float32 [head_size / 2], radians per position; axes int64 [head_size / 2]
    says which row of `positions` each frequency follows, without it the first row serves all.
    """
    if serves(positions):
        from upright.kernels.triton import rotary

        return Rotation(*rotary.angles(positions, frequencies, axes if positions.dim() == 2 else None))
    if positions.dim() == 2:
        # [T, head_size / 2] by picking a row for each frequency, or [T, 1] for one row
        positions = positions[0].unsqueeze(1) if axes is None else positions.index_select(0, axes).t()
    else:
        positions = positions.unsqueeze(1)
    return rotation_of_angles(positions * frequencies, dtype)


def rotate_(heads: Tensor, rotation: Rotation) -> None:
    """Rotate `heads` [T, heads, head_size] in place; value i pairs with value i + head_size / 2.

    In place, because queries, keys and values of a token lie side by side in one row, and stay so.
    """
    if serves(heads):
        from upright.kernels.triton import rotary

        rotary.rotate(heads, rotation.cosine, rotation.sine, heads.shape[1], None)
        return
    swapped = heads.roll(heads.shape[-1] // 2, -1)
    heads.mul_(rotation.cosine).addcmul_(swapped, rotation.sine)


def rotate_reference(heads: Tensor, angles: Tensor) -> Tensor:
    """`heads` [T, heads, head_size] turned by `angles` [T, head_size / 2], written as the definition says."""
    first, second = heads.chunk(2, dim=-1)
    cosine, sine = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
