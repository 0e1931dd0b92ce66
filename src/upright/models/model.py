"""A loaded model: its configuration, its weights, and which attention serves them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import torch

from upright.kernels.attention.dispatch import Choice, Race
from upright.kernels.linear import ProductTimes
from upright.models.decoder import Decoder
from upright.models.model_config import ModelConfig
from upright.models.vision import VisionTower


class Measured(msgspec.Struct, frozen=True):
    """What was measured of a device, to choose what is fastest there; None where nothing was."""

    packed: Race | None = None  # attention of packed images
    products: list[ProductTimes] | None = None  # of a few rows


@dataclass(frozen=True)
class Model:
    config: ModelConfig
    decoder: Decoder
    vision: VisionTower | None
    decode_attention: Choice  # steps in which every sequence brings one token
    prefill_attention: Choice  # all other steps
    vision_attention: Choice | None
    native_declined: str | None  # why C does not serve the decoder's small steps; None when it does
    dtype: torch.dtype
    device: torch.device
    weight_bytes: int
    measured: Measured
