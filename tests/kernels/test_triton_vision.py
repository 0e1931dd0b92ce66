"""The vision path's kernels against their plain-torch paths."""

from __future__ import annotations

import pytest
import torch

from tests.triton_device import DEVICE, DTYPES, close, triton_only, triton_serves  # noqa: F401
from upright.kernels import compiled
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.layer_norm import add_layer_norm, add_layer_norm_reference, layer_norm
from upright.models.image_grid import ImageGrid
from upright.models.image_pixels import pack_patches
from upright.models.model_config import ImageProcessing, VisionConfig
from upright.models.resample import resize_bicubic
from upright.models.vision import VisionTower

pytestmark = triton_only

VISION = VisionConfig("qwen2_vl", 2, 160, 2, 320, 128, 14, 2, 2, 3)
PROCESSING = ImageProcessing(3136, 401408, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("wide", [False, True], ids=["", "wide"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1280), (5, 160), (3, 77)], ids=str)
@pytest.mark.usefixtures("triton_serves")
def test_layer_norm_of_a_sum(shape, dtype, wide):
    residual = torch.randn(*shape, device=DEVICE).to(torch.float32 if wide else dtype) + 2
    delta = torch.randn(shape[0], 2 * shape[1], device=DEVICE).to(dtype)[:, : shape[1]]
    weight, bias = torch.randn(2, shape[1], device=DEVICE).to(dtype)
    total, _ = add_layer_norm_reference(residual, delta, weight, bias, 1e-6)
    normed = add_layer_norm(residual, delta, weight, bias, 1e-6)
    close(residual, total, dtype)
    _, expected = add_layer_norm_reference(residual, torch.zeros_like(delta), weight, bias, 1e-6)
    close(normed, expected, dtype)
    close(layer_norm(residual, weight, bias, 1e-6), expected, dtype)


@pytest.mark.parametrize(
    ("source", "target"),
    [((37, 61), (60, 40)), ((100, 30), (28, 84)), ((40, 40), (40, 56)), ((1, 9), (28, 28)), ((56, 200), (56, 28))],
    ids=str,
)
def test_resizing_is_the_same_to_the_last_bit(source, target, monkeypatch):
    pixels = torch.randint(0, 256, (*source, 3), dtype=torch.uint8)
    monkeypatch.setattr(compiled, "SERVED", set())
    expected = resize_bicubic(pixels, *target)
    monkeypatch.setattr(compiled, "SERVED", {"cuda", "cpu"})
    assert torch.equal(resize_bicubic(pixels.to(DEVICE), *target).cpu(), expected)


def test_patches_of_several_images(monkeypatch):
    pictures = [torch.randint(0, 256, (*size, 3), dtype=torch.uint8) for size in ((70, 50), (28, 84), (56, 56))]
    grids = [ImageGrid(84, 56, 6, 4, 6), ImageGrid(28, 84, 2, 6, 3), ImageGrid(56, 56, 4, 4, 4)]
    monkeypatch.setattr(compiled, "SERVED", set())
    expected = pack_patches(pictures, grids, VISION, PROCESSING, torch.device("cpu"), torch.float32)
    monkeypatch.setattr(compiled, "SERVED", {"cuda", "cpu"})
    for dtype in DTYPES:
        patches = pack_patches(pictures, grids, VISION, PROCESSING, torch.device(DEVICE), dtype)
        assert patches.dtype == dtype
        close(patches.cpu(), expected.to(dtype), dtype)


TOWERS = {
    "qwen2_vl": VISION,
    "qwen2_5_vl": VisionConfig("qwen2_5_vl", 4, 160, 2, 256, 128, 14, 2, 2, 3, 112, (1, 3), 2),
}


@pytest.mark.parametrize("kind", sorted(TOWERS))
@torch.inference_mode()
def test_a_tower_of_these_kernels(kind, monkeypatch):
    grids = [(10, 6), (2, 2)]
    patches = torch.randn(sum(height * width for height, width in grids), 1176)
    here = VisionTower(TOWERS[kind], torch.float32, torch.device("cpu"), REFERENCE)
    for part in here.parameters().values():
        part.normal_(0, 0.05).add_(part.dim() == 1)
    monkeypatch.setattr(compiled, "SERVED", set())
    expected = here.encode(patches, grids)
    monkeypatch.setattr(compiled, "SERVED", {"cuda", "cpu"})
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float16, 5e-3)):
        there = VisionTower(TOWERS[kind], dtype, torch.device(DEVICE), REFERENCE)
        for ours, theirs in zip(here.parameters().values(), there.parameters().values(), strict=True):
            theirs.copy_(ours)
        encoded = there.encode(patches.to(DEVICE), grids).cpu().float()
        assert (encoded - expected).abs().max() / expected.abs().max() < tolerance
