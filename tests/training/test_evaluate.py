"""What is asked of a server, and how its answers count."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from tests.training.worlds import small_world
from training.dialogues.tools import save_answer
from training.evaluate import Answer, Question, parted, questions_of, score, wrong
from training.samples import Call, Sample, Turn


def question(turn: Turn) -> Question:
    return Question([], [], turn)


def test_every_turn_of_the_assistant_is_asked_for_after_what_went_before() -> None:
    picture = np.zeros((56, 56, 3), dtype=np.uint8)
    call = Call("save_answer", {"answer": "12.50"})
    turns = (
        Turn("system", "You read."), Turn("user", "Save the total.", (picture,)), Turn("assistant", "", (), (call,)),
        Turn("tool", "saved"), Turn("assistant", "Saved: 12.50"),
    )  # fmt: skip
    first, second = questions_of(Sample("tool", turns, ({"type": "function"},)))
    assert [message["role"] for message in first.messages] == ["system", "user"]
    assert first.messages[1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert first.turn.calls == (call,) and first.tools == [{"type": "function"}]
    called, told = second.messages[2:]
    assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"answer": "12.50"}
    assert told == {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "saved"}


def test_dialogues_become_questions() -> None:
    for seed in range(20):
        sample = save_answer(random.Random(seed), small_world("held-out"))
        assert len(questions_of(sample)) == sum(turn.role == "assistant" for turn in sample.turns)


CALLING = Turn("assistant", "", (), (Call("save_answer", {"answer": "1"}),))


@pytest.mark.parametrize(
    ("task", "expected", "answer", "name", "value"),
    [
        ("line", Turn("assistant", "abcd"), Answer("abxd", (), True), "characters wrong", 0.25),
        ("field", Turn("assistant", "12"), Answer("12", (), True), "right", 1.0),
        ("field", Turn("assistant", "12"), Answer("12.", (), False), "ended", 0.0),
        ("table", Turn("assistant", "<fcel>a<ecel><nl>"), Answer("<fcel>a<fcel>b<nl>", (), True), "cells right", 0.5),
        ("tool", CALLING, Answer("", (Call("save_answer", {"answer": "2"}),), True), "well-formed", 1.0),
        ("tool", CALLING, Answer("", (Call("save_answer", {"answer": "2"}),), True), "called where asked to", 1.0),
        ("tool", CALLING, Answer("", (Call("save_answer", {"answer": "2"}),), True), "right", 0.0),
        ("tool", CALLING, Answer("", (Call("save_answer", {"answer": "1"}),), True), "right", 1.0),
        ("tool", CALLING, Answer("", (Call("save_answer", {"answer": 1}),), True), "well-formed", 0.0),
        ("tool", CALLING, Answer("", (Call("save_answer", {"value": "1"}),), True), "well-formed", 0.0),
        ("tool", CALLING, Answer("", (Call("save", {"answer": "1"}),), True), "well-formed", 0.0),
        ("tool", CALLING, Answer("It is not there.", (), True), "well-formed", 1.0),
        ("tool", CALLING, Answer("It is not there.", (), True), "called where asked to", 0.0),
        ("tool", Turn("assistant", "no"), Answer("<tool_call>{", (), True), "well-formed", 0.0),
    ],
)  # fmt: skip
def test_answers_count(task: str, expected: Turn, answer: Answer, name: str, value: float) -> None:
    assert score(task, [question(expected)], [answer])[name] == value


def test_layouts_count_by_blocks() -> None:
    block = "<|box_start|>{}<|box_end|><|ref_start|>text<|ref_end|><|rotate_up|>"
    two = block.format("0 0 100 50") + "\n" + block.format("0 60 100 90")
    one = Answer(block.format("0 0 100 48"), (), True)
    assert score("layout", [question(Turn("assistant", two))], [one])["F1"] == pytest.approx(2 / 3)


def test_what_is_wrong_is_shown() -> None:
    right, other = question(Turn("assistant", "a")), question(Turn("assistant", "b"))
    assert wrong([right, other], [Answer("a", (), True)] * 2) == [(other, Answer("a", (), True))]


def test_calls_are_read_in_the_form_that_is_taught() -> None:
    call = '<tool_call>\n{"name": "save_answer", "arguments": {"answer": "12.50"}}\n</tool_call>'

    assert parted(call) == ("", (Call("save_answer", {"answer": "12.50"}),))
    assert parted(f"The total:\n{call}") == ("The total:", (Call("save_answer", {"answer": "12.50"}),))
    assert parted("12.50") == ("12.50", ())
    for wrong_form in (call.replace("}}", "}"), call.replace("name", "nam"), call.replace("\n", ""), call[:-5]):
        assert parted(wrong_form) == (wrong_form, ())
