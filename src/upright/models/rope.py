"""Rotary position embedding: the frequencies of a model, and the axis that each follows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from upright.models.model_config import RopeConfig


def inverse_frequencies(rope: RopeConfig, head_size: int) -> Tensor:
    """Radians per position of each pair of values, float32 [head_size / 2].

    default: theta ** (-2i / head_size) (Su et al. 2021, arXiv:2104.09864). linear: those divided by `factor`. llama3:
    wavelengths over original / low_freq_factor are divided by `factor`, those under original / high_freq_factor stay,
    and between them the two are blended linearly in original / wavelength (Llama 3.1's reference code).
    """
    exponents = torch.arange(0, head_size, 2, dtype=torch.float32) / head_size
    frequencies = 1.0 / (rope.theta**exponents)
    if rope.kind == "linear":
        return frequencies / rope.factor
    if rope.kind == "llama3":
        turns = rope.original_max_position * frequencies / (2 * math.pi)  # over the original context
        blend = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
        blend = blend.clamp(0.0, 1.0)
        return frequencies * (blend + (1 - blend) / rope.factor)
    return frequencies


def section_axes(sections: tuple[int, int, int]) -> Tensor:
    """Which axis (0 time, 1 height, 2 width) turns each pair of values: int64 [sum(sections)]."""
    return torch.repeat_interleave(torch.arange(3), torch.tensor(sections))
