"""The path of a GPU, run on the CPU: tokens stay on the device, steps overlap, and the answers are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.dummy_models import draw_weights, dummy_model
from tests.engine.driving import Picture, Setting, greedy, make_core_of, random_prompt, run, with_images_of
from upright.engine import device_runner
from upright.engine.decode_graphs import graph_sizes
from upright.messages import Request, SamplingParams
from upright.models.model import Model

TIGHT = Setting(max_model_len=300, max_num_seqs=5, max_num_batched_tokens=37, blocks=20)


@pytest.fixture(scope="module")
def model() -> Model:
    made = dummy_model("qwen2_vl", "cpu", torch.float32)
    draw_weights(made.decoder, 0.08)
    return made


def requests(model: Model) -> list[Request]:
    prompts = [[token % 900 for token in random_prompt(n, n)] for n in (3, 17, 90, 140)]
    asked = [greedy(f"text-{len(prompt)}", prompt, 40) for prompt in prompts]
    parts = [prompts[0], Picture.random(1, 150, 60), prompts[1], Picture.random(2, 70, 210), prompts[0]]
    asked.append(with_images_of(model.config, greedy("images", [], 40), parts, image_token=901))
    asked.append(with_images_of(model.config, greedy("ends in an image", [], 20), parts[:2], image_token=901))
    several = {
        "seeded": {"seed": 7, "temperature": 0.8},
        "cut": {"seed": 8, "temperature": 0.9, "top_p": 0.9, "top_k": 30},
        "penalised": {"seed": 9, "temperature": 0.0, "presence_penalty": 1.0, "frequency_penalty": 0.05,
                      "no_repeat_ngram_size": 3, "repetition_penalty": 1.2},
        "told": {"seed": 10, "temperature": 0.7, "logprobs": 2, "presence_penalty": 0.5},
        "biased": {"seed": 11, "temperature": 0.7, "logit_bias": {5: 3.0}},
    }  # fmt: skip
    for index, (name, values) in enumerate(several.items()):
        asked.append(Request(id=name, prompt=prompts[index % 3], params=SamplingParams(max_tokens=40, **values)))
    recovered = replace_output(asked[-3], "recovered", 12)
    return [*asked, recovered]


def replace_output(request: Request, name: str, count: int) -> Request:
    """The same request, as a replay with some output."""
    output = [(7 * place) % 50 for place in range(count)]
    return Request(id=name, prompt=request.prompt, params=request.params, output=output, attempt=1)


@pytest.mark.parametrize("setting", [TIGHT, replace(TIGHT, blocks=200, max_num_seqs=16)], ids=["tight", "roomy"])
def test_the_device_path_gives_the_same_tokens(model: Model, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_runner, "ROWS_DRAWN_AGAIN", 1)  # more rows than that need the sampler of the host
    asked = requests(model)
    expected = run(make_core_of(model, setting), asked)
    for overlap in (False, True):
        core = make_core_of(model, replace(setting, on_device=True, overlap=overlap))
        answers = run(core, asked)
        assert (core.stats().preemptions > 0) == (setting is TIGHT)
        for request in asked:
            assert answers[request.id].tokens == expected[request.id].tokens, (request.id, overlap)
            assert answers[request.id].finish == expected[request.id].finish
            assert len(answers[request.id].logprobs) == len(expected[request.id].logprobs)


def test_sizes_hold_every_batch() -> None:
    for most in (1, 2, 3, 8, 100, 256, 300):
        sizes = graph_sizes(most)
        assert sizes[-1] == most
        assert list(sizes) == sorted(set(sizes))
        assert max(b - a for a, b in zip((0, *sizes), sizes, strict=False)) <= 16
