"""On a real GPU: whatever comes after the warm-up, no kernel is compiled for it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch

from tests.dummy_models import TOWERS, dummy_model
from tests.engine.driving import Picture, Setting, greedy, make_core_of, random_prompt, run, with_images_of
from upright.engine.warm_up import warm_up
from upright.kernels.late_compiles import watch_compiles
from upright.messages import Request, SamplingParams

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """The kernels that were compiled since the test began to watch."""
    from triton import knobs

    yield []
    knobs.runtime.jit_cache_hook = knobs.runtime.jit_post_compile_hook = None


def params(rng: random.Random) -> SamplingParams:
    return SamplingParams(
        seed=rng.randrange(99), max_tokens=rng.randrange(1, 30), temperature=rng.choice([0.0, 0.8]),
        top_p=rng.choice([1.0, 0.9]), top_k=rng.choice([0, 20]), min_p=rng.choice([0.0, 0.05]),
        presence_penalty=rng.choice([0.0, 0.5]), repetition_penalty=rng.choice([1.0, 1.1]),
        no_repeat_ngram_size=rng.choice([0, 3]), logprobs=rng.choice([None, 2]),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", sorted(TOWERS))
@torch.inference_mode()
def test_nothing_is_compiled_after_the_warm_up(kind: str, dtype: torch.dtype, compiled: list[str]) -> None:
    model = dummy_model(kind, "cuda", dtype)
    core = make_core_of(model, Setting(max_num_seqs=70, max_num_batched_tokens=512, overlap=True, encode_ahead=True))
    warm_up(core)
    watch_compiles(lambda kernel, seconds: compiled.append(kernel))
    rng = random.Random(7)
    for turn, count in enumerate((1, 2, 3, 5, 16, 17, 33, 64, 70)):
        requests = []
        for number in range(count):
            name = f"{turn}-{number}"
            prompt = [token % 900 for token in random_prompt(turn * 100 + number, rng.randrange(1, 120))]
            if number % 5 == 2:
                size = rng.randrange(40, 300), rng.randrange(40, 300)
                parts = [prompt, Picture.random(turn * 100 + number, *size)]
                requests.append(with_images_of(model.config, greedy(name, [], 9), parts, image_token=901))
            else:
                requests.append(Request(id=name, prompt=prompt, params=params(rng)))
        run(core, requests)
        while core.runner.idle():
            pass
    assert compiled == []
