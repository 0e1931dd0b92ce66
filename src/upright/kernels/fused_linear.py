"""Matrix products of very few tokens, fused with the operations before and after them.

They serve steps whose time is the weights' way from memory and the number of launches in a row. What each computes is
written out by its fallback; on a CPU `models/decoder.py` has better, and does not ask for them.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from upright.kernels.activation import silu_gate
from upright.kernels.compiled import serves
from upright.kernels.kv_store import rotate_and_store
from upright.kernels.normalise import rms_norm
from upright.kernels.rotary import Rotation


def most_rows(hidden_size: int) -> int:
    """Tokens that a step may have for these products to be the better way.

    Each token reads the weights anew, if only out of the cache. Measured on an H100: with two tokens a step of size 896
    takes 0.77 of what it takes with products that read them once, one of size 3,584 takes 1.06.
    """
    return 2 if hidden_size <= 2048 else 1


def norm_qkv(
    residual: Tensor, gain: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float, rotation: Rotation,
    cache: Tensor, slot_mapping: Tensor, heads: int,
) -> Tensor:  # fmt: skip
    """Normalise, project, turn and store: `rms_norm` [T, hidden], product with [out, hidden], `rotate_and_store`.

    Returns the queries [T, heads, head_size].
    """
    kv_heads, size = cache.shape[3:]
    if serves(residual):
        from upright.kernels.triton import fused_linear

        turn = (rotation.cosine, rotation.sine, cache, slot_mapping)
        return fused_linear.norm_pairs(
            residual, gain, weight, bias, epsilon, size // 2, turn=turn, queries=heads, rotated=heads + kv_heads
        )
    qkv = functional.linear(rms_norm(residual, gain, epsilon), weight).view(-1, heads + 2 * kv_heads, size)
    return rotate_and_store(qkv, bias, rotation, cache, slot_mapping, heads)


def norm_gate(
    residual: Tensor, gain: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float, factor: float = 1.0
) -> Tensor:
    """Normalise, project, gate: `rms_norm` [T, hidden], product with gate and up [2 * size, hidden], `silu_gate`."""
    if serves(residual):
        from upright.kernels.triton import fused_linear

        return fused_linear.norm_pairs(residual, gain, weight, bias, epsilon, weight.shape[0] // 2, factor=factor)
    return silu_gate(functional.linear(rms_norm(residual, gain, epsilon), weight, bias), factor)


def add_linear(
    residual: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, factor: float = 1.0,
    overflow: Tensor | None = None,
) -> None:  # fmt: skip
    """residual [T, out] += (x [T, in] times weight [out, in]) * factor + bias, in place.

    The product is added in float32. `overflow` is as in `add_rms_norm`.
    """
    if serves(residual):
        from upright.kernels.triton import fused_linear

        fused_linear.linear(x, weight, bias, residual, factor, overflow)
        return
    wide = None if bias is None else bias.float()
    residual.add_(functional.linear(x.float() * factor, weight.float(), wide))
    if overflow is not None:
        overflow.logical_or_(~residual.isfinite().all())


def few_rows_linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [T, in] times weight [out, in], [T, out] in the dtype of `weight`."""
    if serves(x):
        from upright.kernels.triton import fused_linear

        return fused_linear.linear(x, weight, None, None)
    return functional.linear(x, weight)
