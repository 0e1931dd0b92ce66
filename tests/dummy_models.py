"""Tiny vision-language models without files, for tests that compare one device with another."""

from __future__ import annotations

from pathlib import Path

import torch

from upright.models.decoder import Decoder
from upright.models.loading import load_model
from upright.models.model import Model
from upright.models.model_config import (
    DecoderConfig,
    GenerationDefaults,
    ImageProcessing,
    ModelConfig,
    RopeConfig,
    VisionConfig,
)
from upright.models.vision import VisionTower

TOWERS = {
    "qwen2_vl": VisionConfig("qwen2_vl", 2, 160, 2, 320, 128, 14, 2, 2, 3),
    "qwen2_5_vl": VisionConfig("qwen2_5_vl", 4, 160, 2, 256, 128, 14, 2, 2, 3, 112, (1, 3), 2),
}


def dummy_model(
    kind: str, device: str, dtype: torch.dtype, attention: str | None = None, portable: bool = False
) -> Model:
    """Random weights; `kind` is one of TOWERS. `portable`: as on a GPU before sm80."""
    rope = RopeConfig("default", 1e6, (4, 6, 6))
    decoder = DecoderConfig(128, 256, 3, 4, 2, 32, 1000, 1e-6, rope, True, False, False, True, 4096)
    image = ImageProcessing(3136, 401408, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    config = ModelConfig("", decoder, TOWERS[kind], image, "float32", (), None, None, GenerationDefaults())
    return load_model(Path(), config, dtype, torch.device(device), "dummy", attention=attention, portable=portable)


def same_weights(here: Model, there: Model) -> None:
    """Copy the weights of `here` to `there`, casting them."""
    for ours, theirs in ((here.decoder, there.decoder), (here.vision, there.vision)):
        for part, other in zip(ours.parameters().values(), theirs.parameters().values(), strict=True):
            other.copy_(part)


def draw_weights(parts: Decoder | VisionTower, spread: float) -> None:
    """Matrices drawn anew, the same ones whatever was drawn before: a test must not hang on which ran before it."""
    generators: dict[torch.device, torch.Generator] = {}
    for part in parts.parameters().values():
        if part.dim() > 1:
            generator = generators.setdefault(part.device, torch.Generator(part.device).manual_seed(0))
            part.normal_(0, spread, generator=generator)
