"""Numbers beyond float16's range never become text: the engine ends first, and the next one computes them wider."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.dummy_models import dummy_model
from tests.engine.driving import Picture, Setting, greedy, make_core_of, run, with_images_of
from tests.engine.front_stand_in import options
from upright.engine import startup
from upright.engine.core import EngineCore
from upright.engine.device_runner import DeviceRunner
from upright.engine.overflow import Float16Overflow, WideLayers, named, watch_overflow
from upright.engine.process import last_words
from upright.engine.runner import Runner
from upright.engine.start_error import StartError
from upright.messages import EngineOptions, Ready
from upright.models.model import Model

MARK = 5  # the place in a hidden state that only one token has
HARMLESS = [20, 31, 42, 53]
Start = Callable[..., tuple[EngineCore, Ready]]


def model_with_a_token(token: int, dtype: torch.dtype, gate: float = 10.0) -> Model:
    """A model of three layers, the second of which answers `token` with some 1,000 times the square of `gate`."""
    made = dummy_model("qwen2_vl", "cpu", dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        for part in made.decoder.parameters().values():
            if part.dim() > 1:
                part.copy_(torch.randn(part.shape, generator=generator) * 0.08)
        made.decoder.embedding[:, MARK] = 0
        made.decoder.embedding[token, MARK] = 30
        for layer in made.decoder.layers:
            layer.output[MARK] = 0
            layer.down[MARK] = 0
        layer = made.decoder.layers[1]
        half = layer.gate_up.shape[0] // 2
        for row in (0, half):
            layer.gate_up[row] = 0
            layer.gate_up[row, MARK] = gate
        layer.down[:, 0] = torch.randn(layer.down.shape[0], generator=generator) * 10
    return made


@pytest.fixture(params=["one by one", "overlap on device"])
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Start:
    """Start an engine with the model given, as start-up would load it; what it learns is kept between calls."""

    def begin(model: Model, **more: Any) -> tuple[EngineCore, Ready]:
        monkeypatch.setattr(startup, "read_model_config", lambda directory: model.config)
        monkeypatch.setattr(startup, "load_model", lambda *given: model)
        if request.param != "one by one":
            monkeypatch.setattr(startup, "make_runner", on_device)
        return startup.start_engine(
            asked(model, tmp_path, overlap=request.param != "one by one", **more), lambda _: None
        )

    return begin


def on_device(model: Model, cache: Any, given: EngineOptions, graph_bytes: int) -> Runner:
    return DeviceRunner(model, cache, given.max_num_seqs, given.max_model_len, None)


def asked(model: Model, directory: Path, **more: Any) -> EngineOptions:
    dtype = str(model.dtype).removeprefix("torch.")
    given: dict[str, Any] = {"dtype": dtype, "overflowed": str(directory / "state" / "float16.json")} | more
    return options(Path("model"), **given)


def known(directory: Path, model: Model) -> list[int]:
    file = directory / "state" / "float16.json"
    return WideLayers(file, key_of(model, directory)).recall()


def key_of(model: Model, directory: Path) -> str:
    watch = watch_overflow(model, asked(model, directory))
    assert watch is not None
    return watch._kept._key


def step_until_it_ends(core: EngineCore, token: int) -> tuple[list[int], Float16Overflow]:
    """A request that has drawn some tokens beside one that overflows, and what was told of the latter."""
    told: list[int] = []
    core.submit(greedy("harmless", HARMLESS, 400))
    for _ in range(5):
        core.step()
    core.submit(greedy("beyond", [*HARMLESS, token, 60], 8))
    with pytest.raises(Float16Overflow) as caught:
        while core.has_work:
            told += [token for output in core.step().each() if output.id == "beyond" for token in output.tokens]
    return told, caught.value


def test_the_engine_ends_before_a_token_and_the_next_one_is_wider(start: Start, tmp_path: Path) -> None:
    prompts = [[*HARMLESS, 7, 60], [7], HARMLESS]
    requests = [greedy(f"{len(prompt)}", prompt, 6) for prompt in prompts]
    exact, _ = start(model_with_a_token(7, torch.float32))
    expected = run(exact, requests)

    first, ready = start(model_with_a_token(7, torch.float16))
    assert ready.wide_layers == [], "nothing of what start-up runs goes beyond"
    told, error = step_until_it_ends(first, 7)
    assert told == []
    assert error.layers == [1, 2]
    words = last_words(error).exception
    assert "Float16Overflow" in words and "layers 1 to 2" in words and "next engine" in words
    assert known(tmp_path, first.runner.model) == [1, 2]

    second, ready = start(model_with_a_token(7, torch.float16))
    assert ready.wide_layers == [1, 2]
    answers = run(second, requests)
    assert {name: answer.tokens for name, answer in answers.items()} == {
        name: answer.tokens for name, answer in expected.items()
    }


def test_what_overflows_at_start_up_is_widened_there(start: Start, tmp_path: Path) -> None:
    model = model_with_a_token(1, torch.float16)  # warm-up asks for the tokens 0 and 1
    core, ready = start(model)
    assert ready.wide_layers == known(tmp_path, model) == [1, 2]
    answers = run(core, [greedy("one", [1, 60], 4)])
    assert len(answers["one"].tokens) == 4


def test_where_a_wider_range_does_not_help_the_error_says_what_does(start: Start, tmp_path: Path) -> None:
    beyond = 30_000.0  # gate and up are infinite themselves
    _, error = step_until_it_ends(start(model_with_a_token(7, torch.float16, beyond))[0], 7)
    assert "next engine" in str(error)
    second = model_with_a_token(7, torch.float16, beyond)
    _, error = step_until_it_ends(start(second)[0], 7)
    assert error.layers == [1, 2]
    assert "wider range already" in str(error) and "--dtype float32" in str(error) and "bfloat16" in str(error)
    assert known(tmp_path, second) == [1, 2]
    with pytest.raises(StartError, match="wider range already") as caught:
        start(model_with_a_token(1, torch.float16, beyond))
    assert "--dtype float32" in caught.value.advice


def test_without_a_file_the_error_does_not_promise(start: Start) -> None:
    core, _ = start(model_with_a_token(7, torch.float16), overflowed=None)
    _, error = step_until_it_ends(core, 7)
    assert "next engine" not in str(error) and "--state-dir" in str(error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_other_types_send_nothing(start: Start, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    core, ready = start(model_with_a_token(7, dtype))
    assert core.runner.watch is None
    assert core.runner.model.decoder.overflow_flags is None
    launched = []
    collect = core.runner.collect
    monkeypatch.setattr(core.runner, "collect", lambda step: (launched.append(step), collect(step))[1])
    run(core, [greedy("one", HARMLESS, 3)])
    assert launched and all(step.overflow is None for step in launched)
    assert ready.wide_layers == []


def test_features_beyond_the_range_name_the_vision_tower(tmp_path: Path) -> None:
    model = model_with_a_token(7, torch.float16)
    assert model.vision is not None
    with torch.inference_mode():
        model.vision.merger_down.fill_(3e4)
    core = make_core_of(model, Setting(max_model_len=300, blocks=40))
    core.runner.watch = watch_overflow(model, asked(model, tmp_path))
    parts = [HARMLESS, Picture.random(1, 60, 60), HARMLESS]
    with pytest.raises(Float16Overflow, match="vision tower") as caught:
        run(core, [with_images_of(model.config, greedy("seen", [], 4), parts, image_token=901)])
    assert caught.value.layers == []
    assert "--dtype float32" in str(caught.value)
    assert known(tmp_path, model) == [], "no layer of the decoder is to blame"
    core.close()


def test_a_file_that_is_broken_or_in_the_way_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "float16.json"
    file.write_text("{")
    kept = WideLayers(file, "a")
    assert kept.recall() == []
    assert "cannot read which layers" in caplog.text
    assert kept.learn([4, 2])
    assert kept.learn([3])
    assert WideLayers(file, "a").recall() == [2, 3, 4]
    assert WideLayers(file, "b").recall() == []
    file.unlink()
    file.mkdir()
    assert not kept.learn([1])
    assert "cannot keep which layers" in caplog.text


def test_layers_are_named_in_runs() -> None:
    assert named([3]) == "layer 3"
    assert named([3, 5, 6, 7]) == "layers 3, 5 to 7"
