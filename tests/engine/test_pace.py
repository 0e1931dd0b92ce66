"""How long a step is expected to take: learnt, never far too short, and in the order of the work."""

from __future__ import annotations

import pytest
import torch

from tests.dummy_models import TOWERS, dummy_model
from tests.engine.driving import Picture, Setting, greedy, make_core_of, random_prompt, run, with_images_of
from upright.engine.pace import Pace
from upright.engine.recorder import Recorder
from upright.engine.warm_up import warm_up
from upright.engine.work import StepWork
from upright.models.work import image_work


def test_nothing_is_expected_before_the_first_step() -> None:
    assert Pace().expected(1e9) == 0.0


def test_a_larger_step_is_expected_by_a_smaller_one() -> None:
    pace = Pace()
    pace.learn(1e6, 0.01)
    assert pace.expected(1e6) >= 0.01
    assert pace.expected(1e9) >= 10.0  # a thousand times the work, at the only speed that is known
    assert pace.expected(1e3) >= 0.01


def test_a_size_that_was_seen_is_expected_by_itself() -> None:
    pace = Pace()
    pace.learn(1e6, 0.01)
    pace.learn(1e9, 0.5)
    assert 0.5 <= pace.expected(1e9) <= 2.0
    assert pace.expected(1e8) <= 2.0  # a larger one is a bound for those between
    assert pace.expected(1e10) >= 5.0


def test_expectations_grow_with_the_work_whatever_was_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        pace = Pace()
        for exponent, seconds in torch.rand(6, 2, generator=generator).tolist():
            pace.learn(10 ** (4 + 10 * exponent), seconds)
            pace.learn(10 ** (4 + 10 * exponent), seconds / 3)
        expected = [pace.expected(1.5**power) for power in range(10, 90)]
        assert expected == sorted(expected)


def test_a_stall_is_forgotten_slowly() -> None:
    pace = Pace()
    pace.learn(1e6, 60.0)
    pace.learn(1e6, 0.01)
    assert pace.expected(1e6) > 60
    for _ in range(2000):
        pace.learn(1e6, 0.01)
    assert pace.expected(1e6) < 0.1


def test_a_larger_image_takes_more_than_its_share() -> None:
    whole, windowed = TOWERS["qwen2_vl"], TOWERS["qwen2_5_vl"]
    assert image_work(whole, 4000) > 2 * image_work(whole, 2000)
    assert image_work(windowed, 64) < image_work(windowed, 4000) / 60
    every = image_work(windowed, 4000) + 4 * 2 * (4000**2 - 4000 * 64) * windowed.hidden_size
    assert every == image_work(windowed, 4000) + 4 * 4000 * 2 * (4000 - 64) * windowed.hidden_size


@pytest.mark.parametrize("kind", sorted(TOWERS))
def test_real_steps_are_put_in_order(kind: str) -> None:
    model = dummy_model(kind, "cpu", torch.float32)
    core = make_core_of(model, Setting(max_num_batched_tokens=1024, blocks=256))
    warm_up(core)
    works: list[int] = []

    class Kept(Recorder):
        def begin_step(self, step, expected, decoding, decoding_since, before=None):  # type: ignore[no-untyped-def]
            assert expected > 0  # the first steps have taught it already
            works.append(StepWork(model.config).of(step))

    core.recorder = Kept()
    prompt = [token % 900 for token in random_prompt(1, 1000)]
    parts = [prompt[:9], Picture.random(1, 600, 600), prompt[:9]]
    run(core, [greedy("short", prompt[:4], 4)])
    run(core, [greedy("long", prompt, 1)])
    run(core, [with_images_of(model.config, greedy("image", [], 1), parts, image_token=901)])
    small, long, image = works[0], works[4], works[5]
    assert small < min(long, image)
    assert core.pace.expected(small) <= min(core.pace.expected(long), core.pace.expected(image))
    assert core.pace.expected(10 * max(long, image)) > core.pace.expected(max(long, image))
