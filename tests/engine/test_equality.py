"""Token for token with transformers, greedy, float32: however the engine cuts, batches, preempts or reuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from tests import checkpoints
from tests.engine.driving import (
    Picture,
    Reference,
    Setting,
    greedy,
    make_core,
    random_prompt,
    renamed,
    run,
    with_images,
)
from upright.messages import Request, SamplingParams
from upright.models.decoder import Decoder

ARCHITECTURES = checkpoints.ARCHITECTURES
VISION = ("qwen2_vl", "qwen2_5_vl")
TOKENS = 64


@dataclass(frozen=True)
class Case:
    directory: Path
    reference: Reference
    texts: tuple[Request, ...]
    pictures: tuple[Request, ...]  # requests with images; empty for a text model

    @property
    def requests(self) -> tuple[Request, ...]:
        return self.pictures + self.texts


@lru_cache(maxsize=4)
def case(architecture: str) -> Case:
    directory = checkpoints.tiny_checkpoint(architecture)
    lengths = (1, 16, 17, 120)
    texts = tuple(greedy(f"text-{n}", random_prompt(n, n), TOKENS) for n in lengths)
    pictures: tuple[Request, ...] = ()
    if architecture in VISION:
        wide, tall, square = Picture.random(1, 150, 60), Picture.random(2, 70, 210), Picture.random(3, 112, 112)
        text = [random_prompt(100 + n, n) for n in range(1, 12)]
        mixes: dict[str, list[list[int] | Picture]] = {
            "image-first": [square, text[5]],
            "image-last": [text[8], wide],
            "between-texts": [text[3], tall, text[6], wide, text[2]],
            "side-by-side": [text[1], wide, tall, square, text[1]],
            "between-turns": [text[9], square, text[4], random_prompt(7, 40), tall, text[7]],
            "same-twice": [text[0], square, text[4], square, text[3]],
        }
        pictures = tuple(with_images(directory, greedy(name, [], TOKENS), parts) for name, parts in mixes.items())
    return Case(directory, Reference(directory, architecture), texts, pictures)


def assert_same(subject: Case, requests: tuple[Request, ...], setting: Setting) -> None:
    answers = run(make_core(subject.directory, setting), requests)
    for request in requests:
        assert answers[request.id].tokens == subject.reference.generate(request), request.id
        assert answers[request.id].finish == "length"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_alone_with_logits(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = case(architecture)
    rows: list[torch.Tensor] = []
    logits: Callable[[Decoder, torch.Tensor], torch.Tensor] = Decoder.logits
    monkeypatch.setattr(Decoder, "logits", lambda self, hidden: rows.append(logits(self, hidden)) or rows[-1])
    for request in subject.requests:
        rows.clear()
        assert_same(subject, (request,), Setting())
        torch.testing.assert_close(torch.cat(rows), subject.reference.logits(request), atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_32_mixed_requests_at_once(architecture: str) -> None:
    subject = case(architecture)
    mixed = tuple(
        renamed(subject.requests[n % len(subject.requests)], f"{n}-{subject.requests[n % len(subject.requests)].id}")
        for n in range(32)
    )
    assert_same(subject, mixed, Setting())


@pytest.mark.parametrize(("architecture", "budget"), [*((name, 29) for name in ARCHITECTURES), ("qwen2_vl", 8)])
def test_chunks_cut_prompts_and_sit_next_to_images(architecture: str, budget: int) -> None:
    subject = case(architecture)
    # 8 is less than most images here have tokens, 29 ends chunks just before and inside them
    assert_same(subject, subject.requests, Setting(max_num_batched_tokens=budget, max_num_seqs=5))


@pytest.mark.parametrize(("architecture", "block_size"), [*((name, 16) for name in ARCHITECTURES), ("qwen2_5_vl", 1)])
def test_small_cache_preempts(architecture: str, block_size: int) -> None:
    subject = case(architecture)
    setting = Setting(max_model_len=256, max_num_seqs=16, blocks=-(-300 // block_size), block_size=block_size)
    requests = subject.requests
    core = make_core(subject.directory, setting)
    answers = run(core, requests)
    assert core.stats().preemptions > 0
    for request in requests:
        assert answers[request.id].tokens == subject.reference.generate(request), request.id


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prefix_hits(architecture: str) -> None:
    subject = case(architecture)
    core = make_core(subject.directory, Setting())
    run(core, subject.requests)
    encoded = core.stats().images_encoded
    again = run(core, [renamed(request, f"again-{request.id}") for request in subject.requests])
    for request in subject.requests:
        answer = again[f"again-{request.id}"]
        assert answer.tokens == subject.reference.generate(request), request.id
        assert answer.cached_tokens == (len(request.prompt) - 1) // 16 * 16
    assert core.stats().images_encoded == encoded, "features of known images were computed again"


def test_prefix_of_another_image_is_not_taken() -> None:
    subject = case("qwen2_vl")
    text, more = random_prompt(1, 20), random_prompt(2, 20)
    one = with_images(subject.directory, greedy("one", [], 16), [text, Picture.random(1, 112, 112), more])
    other = with_images(subject.directory, greedy("other", [], 16), [text, Picture.random(2, 112, 112), more])
    assert one.prompt == other.prompt
    core = make_core(subject.directory, Setting())
    first, second = run(core, [one]), run(core, [other])
    assert first["one"].tokens == subject.reference.generate(one)
    assert second["other"].tokens == subject.reference.generate(other)
    assert second["other"].cached_tokens == 16


@pytest.mark.parametrize("attention", ["reference", "sdpa"])
def test_every_attention_candidate(attention: str) -> None:
    subject = case("qwen2_5_vl")
    setting = Setting(max_num_batched_tokens=48, max_num_seqs=6, attention=attention)
    assert_same(subject, subject.requests, setting)


def test_a_replay_continues_where_the_output_ended() -> None:
    subject = case("qwen2_vl")
    for request in subject.pictures[:2] + subject.texts[-2:]:
        whole = subject.reference.generate(request)
        replay = Request(
            id=request.id, prompt=request.prompt, params=request.params, images=request.images, output=whole[:21]
        )
        answers = run(make_core(subject.directory, Setting(max_num_batched_tokens=50, max_num_seqs=4)), [replay])
        assert answers[request.id].tokens == whole[21:]


def test_seeded_draws_survive_preemption_and_company() -> None:
    subject = case("qwen2_vl")
    requests = [
        Request(
            id=request.id,
            prompt=request.prompt,
            images=request.images,
            params=SamplingParams(
                seed=100 + number, max_tokens=40, temperature=0.9, top_p=0.95, top_k=200, frequency_penalty=0.3,
                repetition_penalty=1.1, no_repeat_ngram_size=3,
            ),
        )
        for number, request in enumerate(subject.requests)
    ]  # fmt: skip
    tight = make_core(subject.directory, Setting(max_model_len=256, blocks=20, max_num_batched_tokens=64))
    together = run(tight, requests)
    assert tight.stats().preemptions > 0
    for request in requests:
        alone = run(make_core(subject.directory, Setting()), [request])
        assert together[request.id].tokens == alone[request.id].tokens, request.id
