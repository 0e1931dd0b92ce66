"""On a real GPU: passes of images whose sizes come again are replayed, and give what the tower gives."""

from __future__ import annotations

import pytest
import torch

from tests.dummy_models import TOWERS, dummy_model
from upright.engine import tower_graphs
from upright.engine.tower_graphs import ReplayedPass, TowerGraphs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ONE, TWO = ((8, 12),), ((6, 4), (10, 14))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", sorted(TOWERS))
@torch.inference_mode()
def test_replayed_passes_give_what_the_tower_gives(
    kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tower_graphs, "MOST_GRAPHS", 2)
    tower = dummy_model(kind, "cuda", dtype).vision
    assert tower is not None
    graphs = TowerGraphs(tower, torch.cuda.Stream(), most_patches=512)
    torch.cuda.synchronize()
    replayed = []
    for grids in (ONE, TWO, ONE, ONE, TWO, TWO, ONE, ((8, 8),), ((8, 8),), TWO, ((8, 8),), ONE, ((40, 40),)):
        patches = torch.randn(sum(height * width for height, width in grids), 1176, device="cuda", dtype=dtype)
        expected = tower.encode(patches, grids)
        torch.cuda.synchronize()
        with torch.cuda.stream(graphs.stream):
            made = graphs.begin(patches, grids)
            for _ in range(tower.config.depth):
                made.advance(1)
            assert made.done
            features = made.features
        torch.cuda.synchronize()
        torch.testing.assert_close(features, expected, atol=2e-2, rtol=2e-2)
        replayed.append(isinstance(made, ReplayedPass))
    # Two are kept: the third size has put out the one that was used the longest ago.
    assert replayed == [False, False, False, True, False, True, True, False, False, False, True, True, False]


@torch.inference_mode()
def test_what_graphs_take_is_measured() -> None:
    tower = dummy_model("qwen2_vl", "cuda", torch.bfloat16).vision
    assert tower is not None
    graphs = TowerGraphs(tower, torch.cuda.Stream(), most_patches=4096)
    with torch.cuda.stream(graphs.stream):
        assert graphs.bytes_of_all() > 4096 * tower.config.hidden_size * 2
