"""The engine's process as the front meets it: waiting, serving, and every way to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.driving import Picture, greedy, random_prompt, with_images
from tests.engine.front_stand_in import EngineUnderTest, options
from upright.messages import (
    Crashed,
    Loading,
    Ready,
    Request,
    SequenceOutput,
    StartFailed,
    Stop,
    Submit,
    Waiting,
)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("qwen2_vl")


@pytest.fixture(scope="module")
def serving(model: Path) -> Iterator[EngineUnderTest]:
    """An engine that serves, for tests that do not end it."""
    with EngineUnderTest() as engine:
        engine.load(options(model, native=False))
        engine.until(Ready)
        yield engine


@pytest.fixture
def doomed(model: Path, tmp_path: Path) -> Iterator[EngineUnderTest]:
    """An engine that serves and looks for faults in `tmp_path`."""
    with EngineUnderTest() as engine:
        engine.load(options(model, faults=str(tmp_path)))
        engine.until(Ready)
        yield engine


def again(request: Request, output: list[int], attempt: int) -> Request:
    return Request(id=request.id, prompt=request.prompt, params=request.params, images=request.images, output=output,
                   attempt=attempt)  # fmt: skip


def joined(outputs: list[SequenceOutput]) -> list[int]:
    return [token for output in outputs for token in output.tokens]


def test_it_waits_without_a_model_and_serves_once_it_is_told_what_to_load(model: Path) -> None:
    with EngineUnderTest() as engine:
        assert engine.receive() == Loading("importing", 0, 0)
        assert engine.receive() == Waiting()
        waiting = engine.resident_bytes()
        assert engine.reading() is None
        engine.load(options(model))
        ready = engine.until(Ready)
        weights = next(part.bytes for part in ready.memory if part.name == "weights")
        assert engine.resident_bytes() - waiting > 0.9 * weights
        engine.await_reading("idle", done=False)
        engine.send(Stop())
        assert engine.exit_code() == 0


def test_a_waiting_engine_stops() -> None:
    with EngineUnderTest() as engine:
        engine.until(Waiting)
        engine.send(Stop())
        assert engine.exit_code() == 0


def test_native_kernels_can_be_turned_off(model: Path) -> None:
    from upright.engine.startup import start_engine

    core, ready = start_engine(options(model, native=False), lambda progress: None)
    core.close()
    decoder = next(choice for choice in ready.attention if choice.use == "decoder")
    assert decoder.declined["native"] == "turned off"


def test_outputs_say_where_they_belong(serving: EngineUnderTest) -> None:
    request = greedy("first", random_prompt(1, 100), 6)
    outputs = serving.answer(Submit(again(request, [], attempt=2)))
    assert [output.at for output in outputs] == [0, 1, 2, 3, 4, 5]
    assert {output.attempt for output in outputs} == {2}


def test_a_request_goes_on_after_the_tokens_that_were_recovered(serving: EngineUnderTest) -> None:
    request = greedy("whole", random_prompt(2, 70), 12)
    whole = joined(serving.answer(Submit(request)))
    outputs = serving.answer(Submit(again(request, whole[:5], attempt=1)))
    assert joined(outputs) == whole[5:]
    assert [output.at for output in outputs] == list(range(5, 12))
    assert {output.attempt for output in outputs} == {1}
    assert outputs[0].cached_tokens is not None


def test_a_fault_of_a_request_says_where_it_belongs(serving: EngineUnderTest, model: Path) -> None:
    pieces = [[5, 6], Picture.random(2, 60, 60), Picture.random(1, 60, 60), [7]]
    request = with_images(model, greedy("broken", [], 4), pieces)
    whole, image = request.images
    cut = type(image)(image.content[:60], *(getattr(image, name) for name in type(image).__struct_fields__[1:]))
    broken = Request(
        id="broken", prompt=request.prompt, params=request.params, images=(whole, cut), output=[9, 9], attempt=3
    )
    (output,) = serving.answer(Submit(broken))
    assert output.fault is not None
    assert (output.fault.code, output.fault.image) == ("invalid_image", 1)
    assert (output.at, output.attempt, output.finish) == (2, 3, "error")


def test_a_killed_engine_leaves_the_names_of_those_aboard(doomed: EngineUnderTest, tmp_path: Path) -> None:
    (tmp_path / "step-stop").touch()
    doomed.send(Submit(greedy("aboard", random_prompt(4, 20), 8)))
    _, status = os.waitpid(doomed.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    doomed.process.kill()
    assert doomed.exit_code() == -signal.SIGKILL
    reading = doomed.reading()
    assert reading is not None
    assert not reading.done
    assert reading.record.phase == "step"
    assert reading.record.expected > 0
    assert [(one.id, one.tokens, one.context, one.images) for one in reading.record.aboard] == [("aboard", 20, 20, 0)]
    assert not (tmp_path / "step-stop").exists()


def test_a_step_that_encodes_an_image_says_so(doomed: EngineUnderTest, tmp_path: Path, model: Path) -> None:
    request = with_images(model, greedy("picture", [], 4), [[5, 6], Picture.random(1, 60, 60), [7]])
    (tmp_path / "step-kill").touch()
    doomed.send(Submit(request))
    assert doomed.exit_code() == -signal.SIGKILL
    reading = doomed.reading()
    assert reading is not None
    assert [(one.id, one.images) for one in reading.record.aboard] == [("picture", 1)]
    assert not reading.record.decoding


def test_a_hung_engine_shows_where(doomed: EngineUnderTest, tmp_path: Path) -> None:
    (tmp_path / "step-spin").touch()
    doomed.send(Submit(greedy("stuck", random_prompt(5, 20), 8)))
    doomed.await_reading("step", done=False)
    for number in (1, 2):  # one after the other, and nothing overwritten
        while doomed.stacks().count("in spin") < number:
            doomed.ask_for_stacks()
            time.sleep(0.05)
        assert "faults.py" in doomed.stacks()
    assert "in watch" in doomed.stacks()  # the other threads are there too


def test_a_segmentation_fault_leaves_the_stacks(doomed: EngineUnderTest, tmp_path: Path) -> None:
    (tmp_path / "poison.json").write_text('[{"token": 149, "do": "segv", "at": 3}]')
    outputs = doomed.answer(Submit(greedy("sound", [150] * 20, 8)))
    assert len(joined(outputs)) == 8
    doomed.send(Submit(greedy("poisoned", [149] * 20, 8)))
    assert doomed.exit_code() == -signal.SIGSEGV
    assert "Segmentation fault" in doomed.stacks()
    assert "in in_step" in doomed.stacks()
    reading = doomed.reading()
    assert reading is not None
    assert [(one.id, one.tokens, one.context) for one in reading.record.aboard] == [("poisoned", 1, 23)]


def test_an_exception_is_told(doomed: EngineUnderTest, tmp_path: Path) -> None:
    (tmp_path / "step-raise").touch()
    doomed.send(Submit(greedy("unlucky", random_prompt(6, 20), 8)))
    crashed = doomed.until(Crashed)
    assert crashed.exception == "RuntimeError: a fault was asked for"
    assert "in in_step" in crashed.traceback
    assert not crashed.memory
    assert doomed.exit_code() == 1


def test_running_out_of_memory_is_told_as_that(doomed: EngineUnderTest, tmp_path: Path) -> None:
    (tmp_path / "step-memory").touch()
    doomed.send(Submit(greedy("large", random_prompt(7, 20), 8)))
    crashed = doomed.until(Crashed)
    assert crashed.exception.startswith("MemoryError")
    assert crashed.memory
    assert doomed.exit_code() == 1


def test_an_exception_while_loading_is_told(model: Path, tmp_path: Path) -> None:
    (tmp_path / "load-raise").touch()
    with EngineUnderTest() as engine:
        engine.load(options(model, faults=str(tmp_path)))
        crashed = engine.until(Crashed)
        assert "in in_load" in crashed.traceback
        assert engine.exit_code() == 1
        reading = engine.reading()
        assert reading is not None
        assert reading.record.phase == "loading"


def test_what_the_configuration_forbids_is_no_crash(model: Path) -> None:
    with EngineUnderTest() as engine:
        engine.load(options(model, kv_cache_bytes=2**16))
        failed = engine.until(StartFailed)
        assert not failed.memory  # more than that was not asked for
        assert engine.exit_code() == 1


def test_a_kv_cache_larger_than_the_machine_is_a_matter_of_memory(model: Path) -> None:
    with EngineUnderTest() as engine:
        engine.load(options(model, kv_cache_bytes=2**60, max_num_seqs=2**40))
        failed = engine.until(StartFailed)
        assert failed.memory
        assert engine.exit_code() == 1
