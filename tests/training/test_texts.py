"""What documents say: of characters that fonts have, repeatable, as long as asked, and never shared between splits."""

from __future__ import annotations

import lzma
import random
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.fonts import BEYOND_ASCII, PRINTABLE
from training.texts import EnglishTexts, TextsMissing, figures, inflection
from training.texts.grammar import Grammar, read_rules
from training.texts.prose import FILES, Prose, load_prose
from training.texts.sources import clean_sentences
from training.texts.syllables import pseudo_name, pseudo_word, syllables
from training.texts.templates_held_out import RULES as HELD_OUT_RULES
from training.texts.templates_train import RULES as TRAIN_RULES
from training.texts.vocabulary import vocabulary
from training.world import Split, Texts

SPLITS: tuple[Split, ...] = ("train", "held-out")
SAYINGS = ("word", "title", "sentence", "code", "person", "company", "product", "date", "email", "url", "phone")
DRAWABLE = frozenset(PRINTABLE + BEYOND_ASCII + " ")
SHARED_ENDINGS = {"company_endings", "street_endings"}  # Ltd. and Street are function words of their kind
GENERATED = {split: EnglishTexts(split) for split in SPLITS}
WRITTEN = Prose(("It rained.", "The ferry from Cork was late, and nobody minded.", "“Wait,” he said.") * 9)
MIXED = {split: EnglishTexts(split, WRITTEN) for split in SPLITS}
texts = st.sampled_from([*GENERATED.values(), *MIXED.values()])
seeds = st.integers(0, 2**32)


@given(texts, seeds, st.sampled_from(SAYINGS))
def test_every_saying_can_be_drawn_and_repeated(english: EnglishTexts, seed: int, saying: str) -> None:
    said = getattr(english, saying)(random.Random(seed))
    assert said == getattr(english, saying)(random.Random(seed))
    assert said.strip() == said
    assert said
    assert DRAWABLE.issuperset(said), set(said) - DRAWABLE


@given(texts, seeds)
def test_a_title_has_two_to_eight_words_and_no_full_stop(english: EnglishTexts, seed: int) -> None:
    title = english.title(random.Random(seed))
    assert 2 <= len(title.split()) <= 8


@given(texts, seeds, st.integers(60, 1500))
def test_a_paragraph_is_about_as_long_as_asked(english: EnglishTexts, seed: int, characters: int) -> None:
    paragraph = english.paragraph(random.Random(seed), characters)
    assert abs(len(paragraph) - characters) <= 260  # whole sentences, of which the longest has some 500
    assert "\n" not in paragraph
    assert DRAWABLE.issuperset(paragraph)


@given(texts, seeds)
def test_an_address_has_two_to_four_lines(english: EnglishTexts, seed: int) -> None:
    lines = english.address(random.Random(seed))
    assert 2 <= len(lines) <= 4
    assert all(line.strip() == line != "" for line in lines)


@given(seeds, st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_amount_is_in_whole_cents_between_its_bounds(seed: int, low: int, span: int) -> None:
    amount = figures.amount(random.Random(seed), low / 100, (low + span) / 100)
    assert low / 100 <= amount <= (low + span) / 100
    assert amount == round(amount * 100) / 100


def test_no_amount_lies_between_bounds_that_are_turned_round() -> None:
    with pytest.raises(ValueError, match="no amount"):
        figures.amount(random.Random(0), 5, 4)


@given(seeds)
def test_codes_hardly_ever_repeat(seed: int) -> None:
    rng = random.Random(seed)
    codes = [figures.code(rng) for _ in range(100)]
    assert len(set(codes)) > 95


def test_splits_share_no_word_list_and_no_syllable() -> None:
    train, held_out = vocabulary("train"), vocabulary("held-out")
    for field in fields(train):
        first, second = getattr(train, field.name), getattr(held_out, field.name)
        if field.name == "forms":
            assert first.keys() == second.keys()
            first, second = ({word for words in forms.values() for word in words} for forms in (first, second))
        if field.name not in SHARED_ENDINGS:
            assert not set(first) & set(second), field.name
    for place in (0, 1):
        assert not set(syllables("train")[place]) & set(syllables("held-out")[place])


def test_splits_share_no_template() -> None:
    train, held_out = (
        {line for lines in read_rules(rules).values() for line in lines if len(re.sub(r"\{[^}]*\}", "", line)) > 4}
        for rules in (TRAIN_RULES, HELD_OUT_RULES)
    )
    assert not train & held_out


@given(seeds, st.sampled_from(SPLITS))
def test_made_up_words_are_words(seed: int, split: Split) -> None:
    word, name = pseudo_word(random.Random(seed), split), pseudo_name(random.Random(seed), split)
    assert re.fullmatch(r"[a-z]{4,24}", word)
    assert re.fullmatch(r"[A-Z][a-z]{1,14}", name)


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("submit+", "submits submitted submitted submitting"),
        ("write/wrote/written", "writes wrote written writing"),
        ("copy", "copies copied copied copying"),
        ("switch_off/switched_off/switched_off", "switches_off switched_off switched_off switching_off"),
        ("see/saw/seen", "sees saw seen seeing"),
        ("renew", "renews renewed renewed renewing"),
    ],
)
def test_verbs_are_inflected(verb: str, forms: str) -> None:
    found = [form(verb) for form in (inflection.third, inflection.past, inflection.participle, inflection.progressive)]
    assert found == forms.split()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("a invoice and a user", "an invoice and a user"),
        ("A hour, a European, a $5 note", "An hour, a European, a $5 note"),
        ("a 8th", "an 8th"),
        ("an map", "a map"),
    ],
)
def test_articles_follow_the_sound(said: str, meant: str) -> None:
    assert inflection.with_article(said) == meant


def test_a_template_with_an_unknown_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        Grammar({"sentence": ("The {colour} sky.",)}, {})


def test_prose_runs_in_its_own_order() -> None:
    run = WRITTEN.run(random.Random(3), 70)
    assert run in " ".join(WRITTEN.sentences * 2)
    assert 40 < len(run) < 100


def test_prose_is_read_from_a_directory(tmp_path: Path) -> None:
    with pytest.raises(TextsMissing, match=r"python -m training\.texts"):
        load_prose(tmp_path, "train")
    for split, file in FILES.items():
        (tmp_path / file).write_bytes(lzma.compress(f"From {split}.\nAgain.".encode()))
    load_prose.cache_clear()
    english: Texts = EnglishTexts.load(tmp_path, "held-out")
    said = {english.sentence(random.Random(seed)) for seed in range(60)}
    assert "From held-out." in said or "From held-out." in {text.replace("–", "-") for text in said}
    assert not any("From train" in text for text in said)


def test_sentences_are_cut_where_they_end_and_kept_when_whole() -> None:
    paragraph = (
        'Mr. Hall  came at\nnoon. "Was it late?" asked Mrs. Low. See figure 3\u2122 of it. Too short. No end here'
    )
    assert clean_sentences(paragraph) == ["Mr. Hall came at noon.", '"Was it late?" asked Mrs. Low.']
