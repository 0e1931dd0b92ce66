"""What stands in the black box while the engine works, rests and decodes images."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.driving import Picture, Setting, greedy, make_core, random_prompt, with_images
from upright.engine import image_queue
from upright.engine.black_box import SIZE, BlackBox, Reading, nameless_file
from upright.engine.core import EngineCore
from upright.engine.images import ImageDecoder
from upright.engine.recorder import Recorder
from upright.messages import Request


@pytest.fixture
def box() -> Iterator[BlackBox]:
    fd = nameless_file(SIZE)
    box = BlackBox(fd)
    yield box
    box.close()
    os.close(fd)


@pytest.fixture
def model(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("qwen2_vl")


def recorded(model: Path, box: BlackBox) -> EngineCore:
    core = make_core(model, Setting(max_num_batched_tokens=32, blocks=64, max_model_len=512))
    core.recorder = Recorder(box)
    return core


def read(box: BlackBox) -> Reading:
    reading = box.read()
    assert reading is not None
    return reading


def test_steps_are_named_before_and_done_after(model: Path, box: BlackBox, monkeypatch: pytest.MonkeyPatch) -> None:
    core = recorded(model, box)
    inside: list[Reading] = []
    launch = core.runner.launch
    monkeypatch.setattr(core.runner, "launch", lambda *given: (inside.append(read(box)), launch(*given))[1])
    core.submit(greedy("one", random_prompt(1, 40), 2))
    core.submit(greedy("two", random_prompt(2, 10), 2))
    while core.has_work:
        core.step()
        assert read(box).done
    assert not any(reading.done for reading in inside)
    assert [[(one.id, one.tokens, one.context) for one in reading.record.aboard] for reading in inside] == [
        [("one", 32, 32)],
        [("one", 8, 40), ("two", 10, 10)],
        [("one", 1, 41), ("two", 1, 11)],
    ]
    assert [reading.record.step for reading in inside] == [1, 2, 3]
    core.recorder.rest("idle")
    assert (read(box).record.phase, read(box).record.step) == ("idle", 3)
    began, beat = read(box).record.started, read(box).beat
    core.recorder.rest("idle")
    assert read(box).record.started == began
    assert read(box).beat >= beat


def test_requests_are_named_before_their_images_are_touched(
    model: Path, box: BlackBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = recorded(model, box)
    go, touched = threading.Event(), []
    decode = ImageDecoder.decode

    def slow(*given):  # type: ignore[no-untyped-def]
        touched.append(read(box).record)
        go.wait()
        return decode(*given)

    monkeypatch.setattr(ImageDecoder, "decode", slow)
    monkeypatch.setattr(image_queue, "AT_ONCE", 8)
    pictures: list[Request] = [
        with_images(model, greedy(f"picture-{n}", [], 1), [[5, 6], Picture.random(n, 60, 60), [7]]) for n in range(12)
    ]
    for request in pictures:
        core.submit(request)
    assert core.only_decoding_images
    core.step()
    record = read(box).record
    assert record.phase == "decoding"
    assert record.decoding == tuple(request.id for request in pictures[: image_queue.AT_ONCE])
    assert 0 < record.decoding_since <= record.started
    core.submit(greedy("text", random_prompt(1, 10), 1))
    core.abort("picture-0")
    core.abort("picture-11")
    core.step()
    record = read(box).record
    assert (record.phase, [one.id for one in record.aboard]) == ("step", ["text"])
    assert record.decoding == tuple(request.id for request in pictures[1 : image_queue.AT_ONCE + 1])
    go.set()
    finished = set()
    while core.has_work:
        finished |= {output.id for output in core.step().each() if output.finish}
    core.close()
    assert finished == {request.id for request in pictures[1:11]}
    assert len(touched) >= 11 - 1
    for record in touched:
        assert record.decoding
