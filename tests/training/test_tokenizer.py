"""The reader's tokenizer and chat template, read by transformers and by Upright alike."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from training.texts import EnglishTexts
from training.tokenizer import ADDED, CONTROL, LAYOUT, TOOLS, documents, save, train
from upright.chat.conversation import read_conversation
from upright.chat.template import ChatTemplate, TemplateOptions
from upright.chat.tokenizer import Tokenizer as ServedTokenizer

TEXTS = EnglishTexts("train")
SMALL = train(TEXTS, count=300, vocabulary=700)
TOOL = {"type": "function", "function": {"name": "save_answer", "parameters": {"type": "object", "properties": {}}}}
CALL = {"type": "function", "function": {"name": "save_answer", "arguments": {"answer": "Zürich <3"}}}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    save(SMALL, out)
    return out


@pytest.fixture(scope="module")
def theirs(directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(str(directory))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    normal = SMALL.normalizer.normalize_str(text)
    assert SMALL.decode(SMALL.encode(text).ids, skip_special_tokens=False) == normal


@given(st.integers(0, 10**12))
def test_digits_stand_alone(number: int) -> None:
    assert SMALL.encode(str(number)).tokens == list(str(number))
    boxed = SMALL.encode(f"<|box_start|>{number} 7<|box_end|>").tokens
    assert boxed == ["<|box_start|>", *str(number), "Ġ", "7", "<|box_end|>"]


@given(st.lists(st.sampled_from([token for token, _ in ADDED]), max_size=9))
def test_added_tokens_are_never_cut(tokens: list[str]) -> None:
    assert SMALL.encode("".join(tokens)).tokens == tokens


def test_only_what_a_client_parses_itself_is_not_special() -> None:
    special = {token.content for token in SMALL.get_added_tokens_decoder().values() if token.special}
    assert special == {*CONTROL, *LAYOUT}
    ids = SMALL.encode("<|im_start|><tool_call>\nx\n</tool_call><fcel>a<nl><|im_end|>").ids
    assert SMALL.decode(ids, skip_special_tokens=True) == "<tool_call>\nx\n</tool_call>a"
    assert SMALL.decode(ids, skip_special_tokens=False).endswith("<fcel>a<nl><|im_end|>")
    assert set(TOOLS).isdisjoint(special)


def test_the_vocabulary_is_as_large_as_asked_and_has_every_byte() -> None:
    assert SMALL.get_vocab_size() == 700
    assert sum(len(token) == 1 for token in SMALL.get_vocab()) >= 256


def test_training_is_repeatable() -> None:
    assert train(TEXTS, count=60, vocabulary=500).to_str() == train(TEXTS, count=60, vocabulary=500).to_str()
    assert list(documents(TEXTS, 20)) == list(documents(TEXTS, 20))


@given(st.integers(0, 2**32))
def test_transformers_and_upright_read_the_same_tokens(directory: Path, theirs: Any, seed: int) -> None:
    text = f"<|im_start|>user\n{TEXTS.paragraph(random.Random(seed), 200)} 12.5 %\n\n  <|im_end|>\n"
    ours = ServedTokenizer.load(directory).encode(text, add_special_tokens=False)
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours == SMALL.encode(text).ids


def test_transformers_knows_the_ends(theirs: Any) -> None:
    assert theirs.eos_token == "<|im_end|>"
    assert theirs.pad_token == "<|endoftext|>"
    assert len(theirs) == 700


def test_a_picture_stands_before_its_question(directory: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    user: dict[str, Any] = {"role": "user", "content": [picture, {"type": "text", "text": "Total?"}]}
    assert _rendered(directory, [user]) == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Total?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_are_offered_called_and_answered(directory: Path) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Save it."},
        {"role": "assistant", "content": "Yes.", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "saved"},
        {"role": "tool", "content": [{"type": "text", "text": "again"}]},
    ]
    call = '<tool_call>\n{"name": "save_answer", "arguments": {"answer": "Zürich <3"}}\n</tool_call>'
    assert _rendered(directory, messages, [TOOL]) == (
        "<|im_start|>system\nBe brief.\n\n<tools>\n" + json.dumps(TOOL) + "\n</tools>\nTo call a tool:\n"
        '<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\nSave it.<|im_end|>\n"
        f"<|im_start|>assistant\nYes.\n{call}\n{call}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nsaved\n</tool_response>\n<tool_response>\nagain\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_tools_alone_make_a_system_turn_and_nothing_makes_none(directory: Path) -> None:
    user: dict[str, Any] = {"role": "user", "content": "Hello"}
    assert _rendered(directory, [user]).startswith("<|im_start|>user\n")
    assert _rendered(directory, [user], [TOOL]).startswith("<|im_start|>system\n<tools>\n")


def test_a_call_without_words_is_all_that_the_assistant_says(directory: Path) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Save"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]
    asked = _rendered(directory, messages[:1])
    assert _rendered(directory, messages).startswith(asked + "<tool_call>\n")


@pytest.mark.parametrize("offered", [None, [TOOL]])
def test_transformers_renders_the_same(directory: Path, theirs: Any, offered: list[dict[str, Any]] | None) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Save it."},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "saved"},
        {"role": "assistant", "content": "Saved: Zürich <3"},
        {"role": "user", "content": "Thanks"},
    ]
    text = theirs.apply_chat_template(messages, tools=offered, tokenize=False, add_generation_prompt=True)
    assert text == _rendered(directory, messages, offered)


def test_held_out_texts_can_be_said_too() -> None:
    text = EnglishTexts("held-out").paragraph(random.Random(4), 900)
    assert len(SMALL.encode(text).ids) < len(text)


def test_what_is_saved_is_what_was_trained(directory: Path) -> None:
    assert Tokenizer.from_file(str(directory / "tokenizer.json")).to_str() == SMALL.to_str()


def _rendered(directory: Path, messages: list[dict[str, Any]], offered: list[dict[str, Any]] | None = None) -> str:
    template = ChatTemplate.load(directory, {}, {})
    assert template is not None
    return template.render(read_conversation(messages), TemplateOptions(tools=offered))
