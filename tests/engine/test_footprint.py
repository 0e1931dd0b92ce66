"""What an engine takes of a GPU: measured on a stand-in for one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.dummy_models import dummy_model
from upright.engine.footprint import Footprint, extrapolated
from upright.engine.footprint import measure as measured
from upright.engine.warm_up import _largest_pass, run_largest_steps, trial_cache
from upright.messages import EngineOptions

GIB = 2**30


def options(**more: Any) -> EngineOptions:
    settings: dict[str, Any] = {
        "max_model_len": 300,
        "max_num_seqs": 5,
        "max_num_batched_tokens": 64,
        "max_pixels": None,
    }
    settings |= more
    return EngineOptions(
        model_path="m", device="cpu", dtype="float32", load_format="dummy", kv_cache_bytes=None, block_size=16,
        seed=0, **settings,
    )  # fmt: skip


class Card:
    """An allocator that keeps what is freed until it is told to give it back, and a library that allocates past it."""

    def __init__(self) -> None:
        self.held = self.cached = self.elsewhere = 0
        self.most = 0

    def take(self, size: int) -> None:
        self.held += size
        self.cached = max(0, self.cached - size)
        self.most = max(self.most, self.reserved())

    def drop(self, size: int) -> None:
        self.held -= size
        self.cached += size

    def free(self) -> int:
        return 80 * GIB - self.reserved() - self.elsewhere

    def reserved(self) -> int:
        return self.held + self.cached

    def peak(self) -> int:
        return self.most

    def reset_peak(self) -> None:
        self.most = self.reserved()

    def release(self) -> None:
        self.cached = 0


class Held:
    """Memory that is held for as long as somebody holds this."""

    def __init__(self, card: Card, size: int) -> None:
        self.card, self.size = card, size
        card.take(size)

    def __del__(self) -> None:
        self.card.drop(self.size)


def test_what_stays_and_what_goes_are_told_apart() -> None:
    card = Card()
    card.elsewhere = GIB // 2  # the context
    free = card.free()
    card.take(10 * GIB)  # weights
    card.take(4 * GIB)  # files of weights, as they passed through
    card.drop(4 * GIB)

    def run(cache: Held) -> Held:
        del cache
        engine = Held(card, 7)  # what it keeps while it lives
        step = Held(card, 3 * GIB)
        del step
        again = Held(card, 2 * GIB)
        del again
        card.elsewhere += 100  # a kernel was compiled
        return engine

    found = measured(card, free, lambda: Held(card, 5 * GIB), run, lambda engine: engine.size * 2)
    assert found == Footprint(free=free, consumed=10 * GIB + 100, transient=3 * GIB + 7, graphs=14)


@pytest.mark.parametrize(
    ("sizes", "taken", "expected"),
    [([], [], 0), ([4], [4], 10), ([1, 4], [4, 1], 13), ([8, 1, 4, 2], [8, 4], 10 + 3 * 3)],
)
def test_two_graphs_tell_of_all(sizes: list[int], taken: list[int], expected: int) -> None:
    captured: list[int] = []

    def capture(size: int) -> int:
        captured.append(size)
        return 10 if len(captured) == 1 else 3

    assert extrapolated(sizes, capture) == expected
    assert captured == taken


def test_the_largest_steps_run_on_a_cache_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dummy_model("qwen2_vl", "cpu", torch.float32)
    assert model.vision is not None
    passes: list[int] = []
    encode = model.vision.encode
    monkeypatch.setattr(
        model.vision, "encode", lambda patches, grids: passes.append(len(patches)) or encode(patches, grids)
    )
    small = options(max_pixels=28 * 28 * 70)
    core = run_largest_steps(model, small, trial_cache(model, small))
    stats = core.stats()
    assert not core.has_work
    assert stats.preemptions == 0
    assert stats.prefill_tokens >= 64 + 5 * 12
    assert passes and passes[0] >= 4 * 70
    core.scheduler.check()


def test_the_largest_pass_holds_all_tokens_in_pieces_near_squares() -> None:
    grids = _largest_pass(16384, 2, 16384)
    assert grids == [(128, 128)] * 4
    odd = _largest_pass(1000, 2, 1200)
    assert 1000 <= sum(height * width // 4 for height, width in odd) < 1000 + 50
    assert all(height % 2 == width % 2 == 0 for height, width in odd)
    assert _largest_pass(1, 2, 1) == [(2, 2)]
