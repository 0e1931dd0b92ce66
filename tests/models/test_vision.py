"""The vision towers and the images' way to them, against transformers."""

from __future__ import annotations

import pytest
import torch

from upright.models.loading import load_model
from upright.models.model_config import read_model_config
from upright.models.vision_layout import window_order

# grids in patches: smaller than a window, cut windows on both sides, one row of tokens, whole windows
GRIDS = [(4, 6), (18, 22), (2, 30), (16, 16), (2, 2)]


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl"])
def architecture(request):
    return request.param


@pytest.mark.parametrize("attention", ["sdpa", "reference"])
@torch.inference_mode()
def test_packed_images_equal_those_of_transformers(architecture, attention, tiny_checkpoint):
    import transformers

    directory = tiny_checkpoint(architecture)
    config = read_model_config(directory)
    theirs = getattr(transformers, config.architecture).from_pretrained(directory, dtype=torch.float32).eval()
    ours = load_model(directory, config, torch.float32, torch.device("cpu"), attention=attention)
    patches = torch.randn(sum(h * w for h, w in GRIDS), 1176, generator=torch.Generator().manual_seed(0))
    expected = theirs.model.visual(patches, torch.tensor([[1, h, w] for h, w in GRIDS])).pooler_output
    together = ours.vision.encode(patches, GRIDS)
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=1e-4)
    alone = torch.cat(
        [
            ours.vision.encode(part, [grid])
            for part, grid in zip(patches.split([h * w for h, w in GRIDS]), GRIDS, strict=True)
        ]
    )
    torch.testing.assert_close(alone, expected, atol=1e-4, rtol=1e-4)


def test_window_order_is_a_permutation_that_keeps_images_apart():
    order, lengths = window_order(GRIDS, merge_size=2, window=4)
    assert sorted(order.tolist()) == list(range(sum(h * w // 4 for h, w in GRIDS)))
    assert sum(lengths) == len(order)
    assert max(lengths) == 16
    first = 0
    for height, width in GRIDS:
        count = height * width // 4
        assert sorted(order[first : first + count].tolist()) == list(range(first, first + count))
        first += count
