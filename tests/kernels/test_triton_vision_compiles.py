"""The vision path's kernels compile for the GPUs that they are meant for."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from tests.triton_aot import launches_of
from upright.kernels import compiled
from upright.kernels.layer_norm import add_layer_norm, layer_norm
from upright.models.image_grid import ImageGrid
from upright.models.image_pixels import pack_patches
from upright.models.model_config import ImageProcessing, VisionConfig

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"),
]

VISION = VisionConfig("qwen2_vl", 2, 160, 2, 320, 128, 14, 2, 2, 3)
PROCESSING = ImageProcessing(3136, 401408, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))


@pytest.mark.parametrize("capability", [75, 80, 90])
def test_kernels_compile(capability, monkeypatch):
    monkeypatch.setattr(compiled, "SERVED", {"cpu"})
    dtype = torch.float16 if capability < 80 else torch.bfloat16
    grid = ImageGrid(28, 84, 2, 6, 3)
    residual = torch.empty(64, 1280, dtype=torch.float32 if dtype == torch.float16 else dtype)
    weight = torch.empty(1280, dtype=dtype)

    def everything() -> None:
        layer_norm(residual, weight, weight, 1e-6)
        add_layer_norm(residual, residual.to(dtype), weight, weight, 1e-6)
        pixels = torch.zeros(300, 200, 3, dtype=torch.uint8)
        pack_patches([pixels], [grid], VISION, PROCESSING, torch.device("cpu"), dtype)

    launches = launches_of(everything)
    assert len(launches) == 5
    for launch in launches:
        made = launch.compile(capability)
        assert made.metadata.shared <= 48 * 1024
        assert ".local" not in made.asm["ptx"]
