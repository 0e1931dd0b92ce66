"""Random numbers as a pure function: the same (seed, position, token) gives the same draw on any device, in any batch.

A counter-based generator: two rounds of an avalanching 32-bit integer hash (the multipliers are Wellons' `lowbias32`),
in int64 arithmetic that wraps alike on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def mix(value: Tensor) -> Tensor:
    """Hash int64 values in [0, 2**32) to int64 values in [0, 2**32), bijectively."""
    value = value ^ (value >> 16)
    value = (value * 0x7FEB352D) & _MASK
    value = value ^ (value >> 15)
    value = (value * 0x846CA68B) & _MASK
    return value ^ (value >> 16)


def stream_keys(seeds: Tensor, positions: Tensor) -> Tensor:
    """Two 32-bit words for each (seed, position). Both int64 [N], seeds in [0, 2**63); returns int64 [N, 2]."""
    first = mix((seeds & _MASK) ^ mix(positions & _MASK))
    second = mix((seeds >> 32) ^ mix(first ^ _GOLDEN))
    return torch.stack((first, second), dim=1)


def uniform(keys: Tensor, tokens: Tensor) -> Tensor:
    """Uniform draws in (0, 1) for token ids. keys int64 [N, 2], tokens int64 [N, C] or [C]; returns float32 [N, C]."""
    bits = mix(mix(tokens ^ keys[:, :1]) ^ keys[:, 1:])
    # 24 bits and a half step: never 0 and never 1 in float32.
    return ((bits >> 8).to(torch.float32) + 0.5) * (1.0 / (1 << 24))


def gumbel(keys: Tensor, tokens: Tensor) -> Tensor:
    """Standard Gumbel draws, shapes as `uniform`. argmax(log p + gumbel) is a draw from p (Gumbel, 1954)."""
    return -torch.log(-torch.log(uniform(keys, tokens)))
