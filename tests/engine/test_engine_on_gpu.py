"""The whole engine on a GPU gives the CPU's tokens: chunked, batched, preempted, with images, seeds and penalties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.dummy_models import TOWERS, draw_weights, dummy_model, same_weights
from tests.engine.driving import Answer, Picture, Setting, greedy, make_core_of, random_prompt, run, with_images_of
from upright.messages import Request, SamplingParams

NEAR = 0.1  # between two log probabilities that half precision may confuse

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("ahead", [False, True], ids=["", "ahead"])
@pytest.mark.parametrize("kind", sorted(TOWERS))
@torch.inference_mode()
def test_a_gpu_gives_the_cpus_tokens(kind: str, ahead: bool) -> None:
    here, there = (dummy_model(kind, device, torch.float32) for device in ("cpu", "cuda"))
    draw_weights(here.decoder, 0.08)  # wide enough that greedy choices are not near-ties
    same_weights(here, there)
    prompts = [[token % 900 for token in random_prompt(n, n)] for n in (3, 17, 90, 140)]
    requests = [greedy(f"text-{len(prompt)}", prompt, 48) for prompt in prompts]
    parts = [prompts[0], Picture.random(1, 150, 60), prompts[1], Picture.random(2, 70, 210), prompts[0]]
    requests.append(with_images_of(here.config, greedy("images", [], 48), parts, image_token=901))
    seeded = SamplingParams(seed=7, max_tokens=48, temperature=0.8, top_p=0.9, presence_penalty=0.5, logprobs=2)
    requests.append(Request(id="seeded", prompt=prompts[2], params=seeded))
    setting = Setting(max_model_len=300, max_num_seqs=5, max_num_batched_tokens=37, blocks=32)
    expected = run(make_core_of(here, setting), requests)
    core = make_core_of(there, replace(setting, overlap=ahead, encode_ahead=ahead))
    answers = run(core, requests)
    assert core.stats().preemptions > 0
    for request in requests:
        assert answers[request.id].tokens == expected[request.id].tokens, request.id


@pytest.mark.parametrize("portable", [False, True], ids=["", "portable"])
@pytest.mark.parametrize("kind", sorted(TOWERS))
@torch.inference_mode()
def test_float16_gives_the_cpus_tokens(kind: str, portable: bool) -> None:
    """With all that is captured as graphs, and with `portable` by the kernels that cards before sm80 have."""
    here = dummy_model(kind, "cpu", torch.float32)
    there = dummy_model(kind, "cuda", torch.float16, portable=portable)
    draw_weights(here.decoder, 0.08)
    same_weights(here, there)
    choices = (there.decode_attention, there.prefill_attention, there.vision_attention)
    assert not portable or [choice.candidate.name for choice in choices if choice is not None] == ["portable"] * 3
    prompts = [[token % 900 for token in random_prompt(n, n)] for n in (3, 17, 90, 140)]

    def requests(logprobs: int | None) -> list[Request]:
        made = [greedy(f"text-{len(prompt)}", prompt, 48, logprobs=logprobs) for prompt in prompts]
        parts = [prompts[0], Picture.random(1, 150, 60), prompts[1], Picture.random(2, 70, 210), prompts[0]]
        image = greedy("images", [], 48, logprobs=logprobs)
        return [*made, with_images_of(here.config, image, parts, image_token=901)]

    setting = Setting(max_model_len=300, max_num_seqs=5, max_num_batched_tokens=64, blocks=100)
    expected = run(make_core_of(here, setting), requests(2))
    core = make_core_of(there, replace(setting, overlap=True, encode_ahead=True))
    while core.runner.idle():
        pass
    answers = run(core, requests(None))  # log probabilities would be drawn by the host
    assert core.runner._graphs is not None and core.runner._graphs._graphs._captured
    assert until_parted(expected, answers) > len(expected) * 48 / 2


def until_parted(expected: dict[str, Answer], answers: dict[str, Answer]) -> int:
    """How many tokens are the same until the answers part, which only near-ties may make them do."""
    compared = 0
    for name, right in expected.items():
        pairs = list(zip(right.tokens, answers[name].tokens, strict=True))
        parted = next((at for at, (one, other) in enumerate(pairs) if one != other), len(pairs))
        compared += parted
        if parted < len(pairs):
            (_, first), (_, second) = right.logprobs[parted].top
            assert first - second < NEAR, f"{name} parts at {parted} without a near-tie"
    return compared


@torch.inference_mode()
def test_no_launch_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dummy_model("qwen2_vl", "cuda", torch.bfloat16)
    core = make_core_of(model, Setting(max_num_seqs=8, max_num_batched_tokens=64, overlap=True, encode_ahead=True))
    launch = core.runner.launch

    def watched(*step: Any) -> Any:
        torch.cuda.set_sync_debug_mode("error")
        try:
            return launch(*step)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    params = [SamplingParams(seed=7, max_tokens=20, temperature=0.8, top_p=0.9, presence_penalty=0.5) for _ in range(3)]
    for turn in range(2):  # in the first some libraries set themselves up
        if turn:
            monkeypatch.setattr(core.runner, "launch", watched)
        requests = [
            Request(id=f"{turn}-{n}", prompt=[token % 900 for token in random_prompt(n, 10 + 40 * n)], params=one)
            for n, one in enumerate(params)
        ]
        for n, size in enumerate([(150, 60), (70, 210), (200, 200)]):
            parts = [[1, 2, 3], Picture.random(10 * turn + n, *size)]
            requests.append(with_images_of(model.config, greedy(f"{turn}-image-{n}", [], 9), parts, image_token=901))
        run(core, requests)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@torch.inference_mode()
def test_cut_crowded_and_cached_give_the_same_text(dtype: torch.dtype) -> None:
    """Half precision rounds otherwise in a step of another size, so near-ties may part; nothing else may."""
    model = dummy_model("qwen2_vl", "cuda", dtype)
    draw_weights(model.decoder, 0.08)
    prompts = [[token % 900 for token in random_prompt(n, n)] for n in (3, 17, 90, 140)]
    requests = [greedy(f"text-{len(prompt)}", prompt, 48, logprobs=2) for prompt in prompts]
    parts = [prompts[1], Picture.random(1, 150, 60), prompts[0], Picture.random(2, 70, 210), prompts[1]]
    requests.append(with_images_of(model.config, greedy("images", [], 48, logprobs=2), parts, image_token=901))
    roomy = Setting(max_model_len=300, max_num_seqs=5, max_num_batched_tokens=1024, blocks=200, overlap=True)
    core = make_core_of(model, roomy)
    whole = run(core, requests)
    again = run(core, requests)
    assert any(answer.cached_tokens for answer in again.values())
    cut = run(make_core_of(model, replace(roomy, max_num_batched_tokens=37)), requests)
    crowded = make_core_of(model, replace(roomy, blocks=32))
    preempted = run(crowded, requests)
    assert crowded.stats().preemptions > 0
    compared = sum(until_parted(whole, answers) for answers in (again, cut, preempted))
    assert compared > 3 * len(requests) * 48 / 2
