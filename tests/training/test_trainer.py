"""A stage goes on where another ended, and what it leaves is the mean of its steps."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.training.small_shape import SHAPE
from tests.training.small_tokenizer import save_small_tokenizer
from tests.training.worlds import small_world
from training.batches import Budget, draw, filled, pack
from training.checkpoint import load_parts, save, weights_of
from training.encode import Encoder
from training.group import Group, Place
from training.model import Batch, to_device
from training.optimisers import Rates
from training.render.lines import word
from training.trainer import Trainer

BUDGET = Budget(patches=400, tokens=500, learnt=100, conversations=5)


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setattr("training.trainer.READER", SHAPE)
    monkeypatch.setattr("training.trainer.WARM_UP", 4)
    save_small_tokenizer(tmp_path / "tokenizer")
    encoder = Encoder(tmp_path / "tokenizer", SHAPE)
    drawn = draw(random.Random(1), {word: 1.0}, small_world(), encoder, BUDGET)
    return to_device(filled(pack(drawn, SHAPE.merge), BUDGET, SHAPE.merge), torch.device("cpu"))


def trainer(start: Path | None = None, fall: tuple[float, float] = (1.0, 1.0), muon: float | None = 0.01) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Rates(3e-3, muon), Group(Place(0, 1)), start, fall, "recorded")


@pytest.mark.parametrize("muon", [0.01, None])
def test_it_learns_what_it_is_shown(batch: Batch, muon: float | None) -> None:
    stage = trainer(muon=muon)
    stage.step(batch, 0.0)
    first = stage.means.tell()["line"]
    for _ in range(40):
        stage.step(batch, 0.0)
    assert stage.means.tell()["line"] < 0.8 * first
    assert stage.means.tell() == {}


def test_a_stage_in_two_is_a_stage_in_one(batch: Batch, tmp_path: Path) -> None:
    whole = trainer()
    half = trainer()
    for _ in range(3):
        half.step(batch, 0.0)
    half.save(tmp_path)
    rest = trainer(tmp_path)
    assert rest.steps == 3
    for _ in range(6):
        whole.step(batch, 0.0)
    for _ in range(3):
        rest.step(batch, 0.0)
    # the files have halves, so that the weights are not quite the same
    for one, other in zip(rest.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-2)


def test_a_finished_model_may_be_trained_on(batch: Batch, tmp_path: Path) -> None:
    stage = trainer()
    stage.step(batch, 0.0)
    save(weights_of(stage.model), SHAPE, tmp_path / "tokenizer", tmp_path / "reader")
    rest = trainer(tmp_path / "reader")
    assert rest.steps == 0
    for one, other in zip(rest.model.parameters(), stage.model.parameters(), strict=True):
        assert torch.equal(one.half(), other.half())


def test_the_rate_rises_and_falls(batch: Batch) -> None:
    stage = trainer(fall=(1.0, 0.0))
    assert stage.share(0.0) == 0.25
    for _ in range(4):
        stage.step(batch, 0.5)
    assert stage.share(0.5) == 0.5 and stage.share(1.0) == 0.0
    assert trainer().share(0.9) == 0.25, "a stage before the last keeps it"
    before = [part.clone() for part in stage.model.parameters()]
    stage.step(batch, 1.0)
    assert all(torch.equal(one, other) for one, other in zip(before, stage.model.parameters(), strict=True))


def test_the_files_have_the_last_weights_and_their_mean(batch: Batch, tmp_path: Path) -> None:
    stage = trainer()
    name, part = next((name, part) for name, part in stage.model.named_parameters() if part.dim() == 2)
    seen = []
    for _ in range(5):
        stage.step(batch, 0.0)
        seen.append(part.detach().clone())
    stage.save(tmp_path)
    stage.take_mean()
    stage.save_mean(tmp_path)
    torch.testing.assert_close(load_parts(tmp_path, "last")[name], seen[-1].half())
    torch.testing.assert_close(load_parts(tmp_path, "mean")[name], torch.stack(seen).mean(0).half(), atol=1e-3, rtol=0)
    assert torch.equal(part.half(), load_parts(tmp_path, "mean")[name]), "and that is what is measured"
