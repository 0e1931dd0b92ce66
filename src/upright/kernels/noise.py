"""Random numbers as a pure function: the same (seed, position, token) gives the same draw on any device, in any batch.

A counter-based generator: two rounds of an avalanching 32-bit integer hash (the multipliers are Wellons' `lowbias32`),
in int64 arithmetic that wraps alike on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def mix_(value: Tensor) -> Tensor:
    """Hash int64 values in [0, 2**32) to int64 values in [0, 2**32), bijectively and in place."""
    value.bitwise_xor_(value >> 16).mul_(0x7FEB352D).bitwise_and_(_MASK)
    value.bitwise_xor_(value >> 15).mul_(0x846CA68B).bitwise_and_(_MASK)
    return value.bitwise_xor_(value >> 16)


def stream_keys(seeds: Tensor, positions: Tensor) -> Tensor:
    """Two 32-bit words for each (seed, position). Both int64 [N], seeds in [0, 2**63); returns int64 [N, 2]."""
    first = mix_((seeds & _MASK) ^ mix_(positions & _MASK))
    second = mix_((seeds >> 32) ^ mix_(first ^ _GOLDEN))
    return torch.stack((first, second), dim=1)


def uniform(keys: Tensor, tokens: Tensor) -> Tensor:
    """Uniform draws in (0, 1) for token ids. keys int64 [N, 2], tokens int64 [N, C] or [C]; returns float32 [N, C]."""
    bits = mix_(mix_(tokens ^ keys[:, :1]).bitwise_xor_(keys[:, 1:]))
    # 23 bits and a half step, which float32 holds exactly: never 0, and never 1, whose Gumbel noise is infinite.
    return bits.bitwise_right_shift_(9).to(torch.float32).add_(0.5).mul_(1.0 / (1 << 23))


def gumbel(keys: Tensor, tokens: Tensor) -> Tensor:
    """Standard Gumbel draws, shapes as `uniform`. argmax(log p + gumbel) is a draw from p (Gumbel, 1954)."""
    return uniform(keys, tokens).log_().neg_().log_().neg_()
