"""Passes that fill a size up, and on a real GPU are replayed, give what the tower gives for the images alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.dummy_models import TOWERS, draw_weights, dummy_model
from tests.triton_device import DEVICE, INTERPRETED, EagerPool, triton_only, triton_serves  # noqa: F401
from upright.engine.graph_pool import GraphPool, GraphRoom
from upright.engine.tower_graphs import LEAST, TowerGraphs, size_for
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.tiles import TRITON
from upright.models.vision import VisionTower
from upright.models.vision_layout import Grid

SEGMENT = 20 * 2**20  # bytes: what PyTorch takes of the device when it needs little


def test_sizes_hold_what_they_are_for_and_little_more() -> None:
    for patches in range(1, 20_000, 7):
        size = size_for(patches)
        assert patches <= size < patches + max(LEAST, patches / 8) and size_for(size) == size


class TestOnTriton:
    pytestmark = triton_only

    @pytest.fixture
    def stream(self) -> torch.cuda.Stream | None:
        return torch.cuda.Stream() if DEVICE == "cuda" else None

    @pytest.mark.usefixtures("triton_serves")
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
    @pytest.mark.parametrize("kind", sorted(TOWERS))
    @torch.inference_mode()
    def test_passes_give_what_the_tower_gives(
        self, kind: str, dtype: torch.dtype, stream: torch.cuda.Stream | None
    ) -> None:
        tower = dummy_model(kind, DEVICE, dtype, REFERENCE.name).vision
        assert tower is not None
        tower.attention = TRITON
        draw_weights(tower, 0.05)
        graphs = TowerGraphs(tower, pool_of(stream), 512, 1)
        passes: list[list[Grid]] = [
            [(8, 12)],
            [(6, 4), (10, 14)],
            [(8, 12)],
            [(4, 4)] * 3,
            [(8, 12)],
            [(6, 20), (2, 2)],
        ]
        for grids in passes[:3] if INTERPRETED else [*passes, [(30, 16)], *passes]:
            patches = torch.randn(sum(height * width for height, width in grids), 1176, device=DEVICE, dtype=dtype)
            expected = tower.encode(patches, grids)
            if stream is not None:
                stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                features = replayed(graphs, tower, patches, grids)
            if stream is not None:
                stream.synchronize()
            torch.testing.assert_close(features, expected, atol=3e-2, rtol=3e-2)

    @pytest.mark.usefixtures("triton_serves")
    @torch.inference_mode()
    def test_what_does_not_fit_is_said_not_to(self) -> None:
        tower = dummy_model("qwen2_5_vl", DEVICE, torch.bfloat16, REFERENCE.name).vision
        assert tower is not None
        graphs = TowerGraphs(tower, None, 512, 1)

        def fits(grids: list[Grid]) -> bool:
            patches = torch.zeros(sum(height * width for height, width in grids), 1176, device=DEVICE)
            return graphs.begin(patches, grids) is not None

        assert fits([(16, 32)]) and not fits([(16, 34)])
        assert not fits([(2, 2)] * 20), "more runs than there is room for"

    @pytest.mark.usefixtures("triton_serves")
    @torch.inference_mode()
    def test_a_size_is_captured_for_nobody(self, stream: torch.cuda.Stream | None) -> None:
        tower = dummy_model("qwen2_5_vl", DEVICE, torch.float16, REFERENCE.name).vision
        assert tower is not None
        tower.attention = TRITON
        graphs = TowerGraphs(tower, pool_of(stream), LEAST, 1)
        with torch.cuda.stream(stream):
            assert graphs.capture_next() and not graphs.capture_next()

    @pytest.mark.skipif(DEVICE != "cuda" or not torch.cuda.is_available(), reason="needs a GPU")
    @torch.inference_mode()
    def test_all_sizes_are_captured_in_idle_moments(self, stream: torch.cuda.Stream) -> None:
        tower = dummy_model("qwen2_vl", "cuda", torch.bfloat16).vision
        assert tower is not None
        tower.attention = TRITON
        room = GraphRoom(1 << 30)
        graphs = TowerGraphs(tower, GraphPool(stream, room), 2048, 1)
        with torch.cuda.stream(stream):
            foreseen = graphs.bytes_of_all()
            captured = 0
            while graphs.capture_next():
                captured += 1
        assert captured == 14, "two were captured to see what all take"
        assert 2048 * tower.config.hidden_size * 2 < room.taken <= foreseen + SEGMENT


def pool_of(stream: torch.cuda.Stream | None) -> Any:
    return GraphPool(stream, GraphRoom(1 << 30)) if stream is not None else EagerPool()


def replayed(graphs: TowerGraphs, tower: VisionTower, patches: torch.Tensor, grids: list[Grid]) -> torch.Tensor:
    made = graphs.begin(patches, grids)
    assert made is not None
    while not made.done:
        made.advance(1)
    assert made.layer == tower.config.depth
    return made.features
