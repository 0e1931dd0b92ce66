"""Answers are what is printed, calls carry it, and what is judged is asked in words that were never trained."""

from __future__ import annotations

import json
import random
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.worlds import small_world
from training.dialogues import phrases, tools, whole
from training.dialogues.asking import MISSING, ask_for, ask_missing, phrasings
from training.dialogues.fields import ask_field
from training.dialogues.offers import SAVE
from training.dialogues.tools import save_answer
from training.dialogues.whole import read_whole
from training.render.documents import draft, finish
from training.render.fields import Field
from training.render.kinds import KINDS, is_surely_missing
from training.samples import Maker, Sample
from training.world import Split

SPLITS: tuple[Split, ...] = ("train", "held-out")
SEEDS = st.integers(0, 2**32 - 1)
BOTH = st.sampled_from(SPLITS)
MAKERS: tuple[Maker, ...] = (ask_field, save_answer, read_whole)


def text_of(sample: Sample) -> tuple[object, ...]:
    return (sample.task, sample.tools, *((turn.role, turn.text, turn.calls) for turn in sample.turns))


@given(SEEDS, BOTH, st.sampled_from(MAKERS))
@settings(max_examples=15, deadline=None)
def test_equal_generators_make_equal_samples(seed: int, split: Split, maker: Maker) -> None:
    one, other = (maker(random.Random(seed), small_world(split)) for _ in range(2))
    assert text_of(one) == text_of(other)
    for mine, theirs in zip(one.turns, other.turns, strict=True):
        for picture, same in zip(mine.pictures, theirs.pictures, strict=True):
            assert np.array_equal(picture, same)


@given(SEEDS, BOTH, st.sampled_from(MAKERS))
@settings(max_examples=25, deadline=None)
def test_turns_are_in_order(seed: int, split: Split, maker: Maker) -> None:
    sample = maker(random.Random(seed), small_world(split))
    roles = "".join(turn.role[0] for turn in sample.turns if turn.role != "system")
    assert re.fullmatch("(ua|uata){1,6}" if split == "train" else "ua|uaua|uata", roles)
    assert [len(turn.pictures) for turn in sample.turns].count(1) == 1
    assert next(turn for turn in sample.turns if turn.role == "user").pictures
    assert all(turn.text or turn.calls for turn in sample.turns)
    assert not any("{" in turn.text for turn in sample.turns if turn.role == "user")


@given(SEEDS, BOTH)
@settings(max_examples=25, deadline=None)
def test_a_call_carries_the_value_and_the_last_turn_repeats_it(seed: int, split: Split) -> None:
    sample = save_answer(random.Random(seed), small_world(split))
    assert SAVE in [tool["function"]["name"] for tool in sample.tools]
    json.dumps(sample.tools)
    for index, turn in enumerate(sample.turns):
        for call in turn.calls:
            assert call.name == SAVE and list(call.arguments) == ["answer"]
            assert "\n" not in call.arguments["answer"]
            assert sample.turns[index + 2].text == f"Saved: {call.arguments['answer']}"
        if turn.role == "assistant" and not turn.calls and sample.turns[index - 1].role == "user":
            assert "save" not in sample.turns[index - 1].text.lower() or turn.text == MISSING


@given(SEEDS, BOTH)
@settings(max_examples=30, deadline=None)
def test_answers_are_printed_and_what_is_missing_is_not(seed: int, split: Split) -> None:
    rng = random.Random(seed)
    world = small_world(split)
    made = draft(rng, world)
    shown = finish(rng, made)
    for field in made.fields:
        asked = ask_for(rng, shown, field, split)
        assert asked.answer == field.value and asked.question.strip()
    missing = ask_missing(rng, shown, world)
    assert missing.answer == MISSING and missing.field is None
    names = {name.lower() for field in made.fields for name in (*field.names, field.label) if name}
    assert missing.name.removeprefix("the ").lower() not in names


def test_every_kind_has_enough_phrasings_and_none_is_in_both_splits() -> None:
    for kind in (*KINDS, *phrases.SPECIAL, "choice", "item_price"):
        train, held_out = (set(phrasings(kind, split)) for split in SPLITS)
        assert len(train) >= 12 and len(held_out) >= 4 and not train & held_out, kind
    sentences = [one for asked in phrases.SPECIAL.values() for split in SPLITS for one in asked[split]]
    assert all(len(one) > 3 for one in sentences)
    for table in (phrases.BY_LABEL, phrases.ENDINGS, phrases.SYSTEMS, tools.WISHES, tools.RESULTS, whole.WISHES):
        assert not set(table["train"]) & set(table["held-out"])


def test_what_could_be_meant_otherwise_is_not_asked_for() -> None:
    assert not is_surely_missing("date", frozenset({"issued"}))
    assert not is_surely_missing("postcode", frozenset({"address"}))
    assert not is_surely_missing("total", frozenset({"total"}))
    assert is_surely_missing("due", frozenset({"date", "total"}))


def test_the_value_is_asked_for_by_its_label_where_only_that_names_it() -> None:
    rng = random.Random(0)
    shown = finish(rng, draft(rng, small_world("train")))
    asked = ask_for(rng, shown, Field("other", "X-1", ("Grey Goose",), "Grey Goose"), "train")
    assert "grey goose" in asked.question.lower()
