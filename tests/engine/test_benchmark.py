"""An engine measured in its process: every case ends, is counted whole, and is held against the model's shape."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from upright.engine.bench_cases import (
    CASES,
    CPU_TOKENS,
    Case,
    Failed,
    Job,
    Peaks,
    Report,
    Row,
    Skipped,
    Stage,
    chosen,
    picture,
)
from upright.engine.bench_work import CaseWork
from upright.engine.benchmark import run
from upright.engine.sequence import Sequence
from upright.engine.step import Chunk, Step
from upright.engine.work import StepWork
from upright.messages import EngineOptions, Request, SamplingParams
from upright.models.model_config import read_model_config
from upright.plan.memory import weight_bytes


def options(model: Path, **more: Any) -> EngineOptions:
    settings: dict[str, Any] = {"max_model_len": 128, "kv_cache_bytes": 2**24} | more
    return EngineOptions(
        model_path=str(model), device="cpu", dtype="float32", load_format="dummy", max_num_seqs=4,
        max_num_batched_tokens=64, block_size=16, max_pixels=None, seed=0, threads=1, native=False, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("overlap", [False, True])
def test_every_case_is_measured_or_says_why_not(tiny_checkpoint: Callable[[str], Path], overlap: bool) -> None:
    cases = (Case("texts", 3, 10, 6), Case("pictures", 2, 4, 3, (84, 56)), Case("long", 1, 100, 29))
    reports: list[Report] = []
    run(Job(options(tiny_checkpoint("qwen2_vl"), overlap=overlap), cases), reports.append)
    peaks = [one for one in reports if isinstance(one, Peaks)]
    rows = {one.name: one for one in reports if isinstance(one, Row)}
    assert len(peaks) == 1 and peaks[0].bytes_per_second > 0 and peaks[0].flop_per_second > 0
    assert {one.text for one in reports if isinstance(one, Stage)} >= {"importing", "weights", "device", "texts"}
    assert [one.reason for one in reports if isinstance(one, Skipped)] == [
        "it needs 129 tokens of context, and --max-model-len is 128"
    ]
    texts, pictures = rows["texts"], rows["pictures"]
    assert (texts.requests, texts.prompt_tokens, texts.output_tokens) == (3, 30, 18)
    assert (pictures.prompt_tokens, pictures.output_tokens) == (2 * (4 + 6), 6)
    assert 0 < texts.first < texts.seconds and texts.steps >= 6
    assert 0 < texts.decode_step < texts.seconds
    assert pictures.flop > 0


def test_an_engine_that_cannot_start_is_told(tiny_checkpoint: Callable[[str], Path]) -> None:
    reports: list[Report] = []
    run(Job(options(tiny_checkpoint("qwen2"), kv_cache_bytes=2**12), CASES), reports.append)
    assert isinstance(reports[-1], Failed) and "KV cache" in reports[-1].reason


def test_work_is_counted_as_the_engine_counts_it(tiny_checkpoint: Callable[[str], Path]) -> None:
    config = read_model_config(tiny_checkpoint("qwen2"))
    request = Request(id="a", prompt=[1] * 40, params=SamplingParams(seed=0, max_tokens=1))
    sequence = Sequence(request, 16)
    step = Step((Chunk(sequence, 0, 40, True),), (), drawing=[sequence])
    work = CaseWork(config, "float32")
    assert work.flop(40, 1, None) == pytest.approx(StepWork(config).of(step), rel=0.01)
    assert work.decode_bytes(0) == pytest.approx(weight_bytes(config, "float32"), rel=0.01), "tied: the head is all"
    assert work.decode_bytes(10) - work.decode_bytes(0) == 10 * 3 * 2 * 2 * 32 * 4


def test_cases_are_chosen_by_name_and_by_what_the_device_is_made_for() -> None:
    assert chosen((), False, "cuda") == CASES
    assert [case.name for case in chosen(("decode 1", "crops"), False, "cpu")] == ["decode 1", "128 crops"]
    quick = chosen((), True, "cuda")
    assert {case.name for case in quick} < {case.name for case in CASES}
    assert next(case for case in quick if case.name == "decode 64").output == 64
    assert all(case.requests * (case.prompt + case.output) <= CPU_TOKENS for case in chosen((), False, "cpu"))
    assert chosen(("nothing",), True, "cuda") == ()


def test_pictures_are_what_they_say() -> None:
    assert picture((84, 56), 1) == picture((84, 56), 1) != picture((84, 56), 2)
    with Image.open(io.BytesIO(picture((84, 56), 1))) as opened:
        assert (opened.size, opened.format) == ((84, 56), "PNG")
