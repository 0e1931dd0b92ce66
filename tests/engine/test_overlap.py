"""A step launched before the one before it is collected: the same answers, and a black box that names both."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from tests.dummy_models import draw_weights, dummy_model
from tests.engine.driving import Picture, Setting, greedy, make_core_of, random_prompt, run, with_images_of
from upright.engine.black_box import SIZE, BlackBox, Reading, nameless_file
from upright.engine.recorder import Recorder
from upright.messages import PlainTokens, Request, SamplingParams, SequenceOutput
from upright.models.model import Model

OVERLAP = Setting(max_model_len=300, max_num_seqs=4, max_num_batched_tokens=64, blocks=60, overlap=True)


@pytest.fixture(scope="module")
def model() -> Model:
    made = dummy_model("qwen2_vl", "cpu", torch.float32)
    draw_weights(made.decoder, 0.08)
    return made


@pytest.fixture
def box() -> Iterator[BlackBox]:
    fd = nameless_file(SIZE)
    box = BlackBox(fd)
    yield box
    box.close()
    os.close(fd)


def prompt(length: int) -> list[int]:
    return [token % 900 for token in random_prompt(length, length)]


def picture(model: Model, name: str, before: int, tokens: int = 6) -> Request:
    parts = [prompt(before), Picture.random(1, 60, 60), prompt(5)]
    return with_images_of(model.config, greedy(name, [], tokens), parts, image_token=901)


def read(box: BlackBox) -> Reading:
    reading = box.read()
    assert reading is not None
    return reading


def aboard(box: BlackBox) -> dict[str, tuple[int, int]]:
    return {one.id: (one.tokens, one.context) for one in read(box).record.aboard}


def test_answers_are_the_same_wherever_they_end(model: Model) -> None:
    asked = [greedy(f"long-{n}", prompt(n), 30) for n in (3, 17, 40, 90)] + [picture(model, "picture", 9, 20)]
    whole = run(make_core_of(model, replace(OVERLAP, overlap=False)), asked)
    for at in (0, 1, 7):  # ended by a token: noticed when the next step is on its way
        ends = {one.id: whole[one.id].tokens[at] for one in asked}
        stopped = [
            Request(id=one.id, prompt=one.prompt, images=one.images,
                    params=SamplingParams(seed=0, temperature=0.0, max_tokens=30, end_token_ids=(ends[one.id],)))
            for one in asked
        ]  # fmt: skip
        answers = run(make_core_of(model, OVERLAP), stopped)
        for one in asked:
            length = whole[one.id].tokens.index(ends[one.id]) + 1
            assert (answers[one.id].tokens, answers[one.id].finish) == (whole[one.id].tokens[:length], "stop")


def test_the_record_names_both_steps(model: Model, box: BlackBox, monkeypatch: pytest.MonkeyPatch) -> None:
    core = make_core_of(model, OVERLAP)
    core.recorder = Recorder(box)
    core.submit(greedy("one", prompt(100), 3))
    core.step()
    assert aboard(box) == {"one": (64, 64)} and not read(box).done
    core.submit(greedy("two", prompt(10), 9))
    core.step()
    assert aboard(box) == {"one": (100, 100), "two": (10, 10)} and not read(box).done
    core.step()
    assert aboard(box) == {"one": (37, 101), "two": (11, 11)}
    core.step()
    assert aboard(box) == {"one": (2, 102), "two": (2, 12)}
    core.step()
    assert aboard(box) == {"one": (1, 102), "two": (2, 13)}
    first, second = core.pace.expected(core._in_flight.work), read(box).record.expected  # type: ignore[union-attr]
    assert second > first > 0

    def fail(*given: object) -> None:
        raise RuntimeError("of the step before")

    monkeypatch.setattr(core.runner, "collect", fail)
    with pytest.raises(RuntimeError):
        core.step()
    assert aboard(box) == {"two": (2, 14)} and not read(box).done


def test_a_record_is_done_once_nothing_is_in_flight(model: Model, box: BlackBox) -> None:
    core = make_core_of(model, OVERLAP)
    core.recorder = Recorder(box)
    core.submit(greedy("one", prompt(10), 4))
    done = []
    while core.has_work:
        core.step()
        done.append(read(box).done)
    assert done == [False] * 4 + [True]
    core.step()
    assert read(box).record.phase == "idle"


def test_images_are_named_and_decoded_while_a_step_is_in_flight(model: Model, box: BlackBox) -> None:
    core = make_core_of(model, OVERLAP)
    core.recorder = Recorder(box)
    core.submit(greedy("last token", prompt(10), 1))
    core.step()
    began = read(box).record.started
    core.submit(picture(model, "picture", 3))
    core.step()
    record = read(box).record
    assert (record.decoding, record.started, aboard(box)) == (("picture",), began, {"last token": (10, 10)})
    assert read(box).done and record.decoding_since > began
    while core.has_work:
        core.step()


def test_one_who_leaves_while_a_step_is_in_flight_says_nothing_more(model: Model) -> None:
    core = make_core_of(model, OVERLAP)
    expected = run(make_core_of(model, OVERLAP), [greedy("stays", prompt(20), 12)])["stays"].tokens
    core.submit(greedy("stays", prompt(20), 12))
    core.submit(greedy("goes", prompt(12), 12))
    told: list[SequenceOutput] = []
    for number in range(30):
        if number == 4:
            core.abort("goes")
            before = len([one for one in told if one.id == "goes"])
            assert not core.scheduler.abort("goes")
        told += core.step().each()
        core.scheduler.check()
    assert before == len([one for one in told if one.id == "goes"]) > 0
    assert [token for one in told if one.id == "stays" for token in one.tokens] == expected
    core.submit(greedy("last", prompt(20), 12))
    core.step()
    core.abort("last")
    assert core.has_work and not core.scheduler.has_work
    assert core.step().each() == [] and not core.has_work


def test_draws_that_need_their_output_wait_for_it(model: Model) -> None:
    params = SamplingParams(seed=0, temperature=0.0, max_tokens=10, presence_penalty=1.5, no_repeat_ngram_size=2)
    asked = [greedy("plain", prompt(9), 20), Request(id="penalised", prompt=prompt(9), params=params)]
    core = make_core_of(model, OVERLAP)
    answers = run(core, asked)
    expected = run(make_core_of(model, replace(OVERLAP, overlap=False)), asked)
    assert {name: one.tokens for name, one in answers.items()} == {name: one.tokens for name, one in expected.items()}


def test_bare_tokens_are_told_in_few_words(model: Model) -> None:
    core = make_core_of(model, replace(OVERLAP, overlap=False))
    core.submit(greedy("one", prompt(9), 3))
    core.submit(greedy("told", prompt(12), 3, logprobs=1))
    first, second, third = core.step(), core.step(), core.step()
    assert first.plain is None and [one.cached_tokens for one in first.several] == [0, 0]
    assert [(one.id, one.at, len(one.logprobs)) for one in second.several] == [("told", 1, 1)]
    assert second.plain is not None
    assert second.plain == PlainTokens(["one"], [1], [0], second.plain.tokens)
    assert third.plain is None and [one.finish for one in third.several] == ["length", "length"]
    assert all(one.cached_tokens is None for one in second.each() + third.each())


class Ahead:
    """A core whose images are ready when the test says so."""

    def __init__(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        core = make_core_of(model, replace(OVERLAP, encode_ahead=True))
        self.core, self.ready = core, list[bytes]()
        monkeypatch.setattr(core.runner, "finished_encodings", self.finished)

    def finished(self) -> list[bytes]:
        ready, self.ready = self.ready, []
        return ready

    def step(self) -> set[str]:
        """Who gained a token."""
        return {one.id for one in self.core.step().each()}

    def decode(self) -> None:
        while self.core._images is not None and self.core._images:
            self.core.step()
            time.sleep(0.001)

    def computed(self, name: str) -> int:
        return self.core.scheduler._by_id[name].computed


@pytest.mark.parametrize("before", [0, 9])
def test_others_decode_while_an_image_is_encoded(model: Model, monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    ahead = Ahead(model, monkeypatch)
    request = picture(model, "picture", before)
    image = request.images[0]
    ahead.core.submit(greedy("text", prompt(9), 250))
    ahead.step()
    ahead.core.submit(request)
    ahead.decode()
    for _ in range(5):
        assert ahead.step() == {"text"}
        assert ahead.computed("picture") == image.start
    assert ahead.core.stats().images_encoded == 1
    ahead.ready = [image.key]
    ahead.step()
    assert ahead.computed("picture") == len(request.prompt)
    answers = run(make_core_of(model, OVERLAP), [picture(model, "picture", before)])
    tokens: list[int] = []
    while ahead.core.has_work and len(tokens) < 6:
        tokens += [one.tokens[0] for one in ahead.core.step().each() if one.id == "picture"]
    assert tokens == answers["picture"].tokens


def test_an_image_goes_along_where_nobody_else_decodes(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = Ahead(model, monkeypatch)
    ahead.core.submit(greedy("text", prompt(9), 25))
    ahead.step()
    ahead.core.submit(picture(model, "picture", 9, 4))
    ahead.decode()
    gained = [ahead.step() for _ in range(60) if ahead.core.has_work]  # it is never said to be ready
    assert gained[-1] == {"picture"} and not ahead.core.has_work
    ahead.core.submit(picture(model, "alone", 3, 4))
    while ahead.core.has_work:
        ahead.core.step()
