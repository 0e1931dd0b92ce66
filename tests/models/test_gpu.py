"""The same code on a GPU: decoder, towers and resizing against the CPU in float32, with dummy weights."""

from __future__ import annotations

import pytest
import torch

from tests.dummy_models import TOWERS, dummy_model, same_weights
from upright.kernels.attention.batch import KVCache, make_batch
from upright.models.image_grid import image_grid
from upright.models.image_pixels import pack_patches
from upright.models.model import Model
from upright.models.mrope import ImageSpan, prompt_positions
from upright.models.resample import resize_bicubic

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

GRIDS = [(4, 6), (18, 22), (2, 30)]
SIZES = [(300, 200, 3), (56, 84, 3), (37, 411, 3)]
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}  # of the largest value


def logits(model: Model, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Logits of a prompt in three chunks over scattered blocks, the rest of the cache NaN."""
    device = model.device
    kv = KVCache(torch.full((3, 9, 5, 2, 2, 32), float("nan"), dtype=model.dtype, device=device))
    states = []
    for start, end in ((0, 20), (20, 29), (29, 30)):
        batch = make_batch([[7, 2, 0, 5, 8, 1]], [end - start], [end], 5, device)
        hidden = model.decoder.embed(ids[start:end].to(device))
        states.append(model.decoder.forward(hidden, positions[:, start:end].to(device), kv, batch))
    return model.decoder.logits(torch.cat(states)).cpu().float()


@pytest.mark.parametrize("kind", sorted(TOWERS))
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("attention", [None, "sdpa", "reference"])
@torch.inference_mode()
def test_a_gpu_computes_what_the_cpu_does(kind, dtype, attention):
    torch.manual_seed(0)
    here = dummy_model(kind, "cpu", torch.float32, attention)
    there = dummy_model(kind, "cuda", dtype, attention)
    same_weights(here, there)
    patches = torch.randn(sum(height * width for height, width in GRIDS), 1176)
    ids, (positions, _) = torch.randint(0, 1000, (30,)), prompt_positions(30, [ImageSpan(3, 2, 4)])
    for ours, theirs in (
        (here.vision.encode(patches, GRIDS), there.vision.encode(patches.cuda(), GRIDS).cpu().float()),
        (logits(here, ids, positions), logits(there, ids, positions)),
    ):
        assert (ours - theirs).abs().max() / ours.abs().max() < TOLERANCE[dtype]


def test_resizing_is_the_same():
    pixels = torch.randint(0, 256, (640, 480, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resize_bicubic(pixels, 616, 476), resize_bicubic(pixels.cuda(), 616, 476).cpu())


@torch.inference_mode()
def test_patches_are_the_same_but_for_their_rounding():
    model = dummy_model("qwen2_vl", "cuda", torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.randint(0, 256, size, dtype=torch.uint8, generator=generator) for size in SIZES]
    grids = [image_grid(*size[:2], model.config.vision, model.config.image) for size in SIZES]
    settings = model.config.vision, model.config.image
    ours = pack_patches(pictures, grids, *settings, torch.device("cpu"), torch.bfloat16)
    for pinned in (False, True):
        sent = [picture.pin_memory() if pinned else picture for picture in pictures]
        theirs = pack_patches(sent, grids, *settings, torch.device("cuda"), torch.bfloat16)
        torch.testing.assert_close(theirs.cpu(), ours.bfloat16(), atol=1e-2, rtol=1e-2)
