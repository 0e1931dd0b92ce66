"""Steps that are recorded learn what steps as they stand learn."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.training.small_shape import SHAPE
from tests.training.small_tokenizer import save_small_tokenizer
from tests.training.worlds import small_world
from training.batches import Budget, draw, filled, pack
from training.encode import Encoder
from training.group import Group, Place
from training.model import to_device
from training.optimisers import Rates
from training.render.lines import word
from training.trainer import HOW, Trainer

BUDGET = Budget(patches=800, tokens=1000, learnt=200, conversations=10)


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_however_steps_are_done_they_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.trainer.READER", SHAPE)
    save_small_tokenizer(tmp_path)
    encoder = Encoder(tmp_path, SHAPE)
    device = torch.device("cuda")
    drawn = (draw(random.Random(seed), {word: 1.0}, small_world(), encoder, BUDGET) for seed in range(3))
    batches = [to_device(filled(pack(one, SHAPE.merge), BUDGET, SHAPE.merge), device) for one in drawn]
    found = []
    with torch.cuda.stream(torch.cuda.Stream()):
        for how in HOW:
            torch.manual_seed(0)
            stage = Trainer(Rates(3e-2, 0.1), Group(Place(0, 1)), None, (1.0, 1.0), how)
            losses = []
            for step in range(30):
                stage.step(batches[step % 3], 0.0)
                losses.append(stage.means.tell()["line"])
            found.append(losses)
    recorded, compiled, eager = found
    assert eager[-1] < 0.8 * eager[0]
    assert recorded == pytest.approx(eager, rel=0.03)
    assert compiled == pytest.approx(eager, rel=0.03)
