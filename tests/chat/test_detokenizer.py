"""Streaming text is the text, however it was cut."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers

from upright.chat.detokenizer import make_detokenizer
from upright.chat.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def qwen(qwen_tokenizer: Path) -> Tokenizer:
    return Tokenizer.load(qwen_tokenizer)


@functools.cache
def sentencepiece() -> Tokenizer:
    """A small tokenizer in the form of Llama 2's: spaces as ▁, byte fallback, one leading space stripped."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁the", "the", "▁a", "é", "▁é"]
    pieces += [chr(letter) for letter in range(97, 123)] + [f"▁{chr(letter)}" for letter in range(97, 123)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    inner = tokenizers.Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    inner.decoder = decoders.Sequence(steps)
    inner.add_special_tokens(["<s>", "</s>"])
    return Tokenizer(inner, {}, {})


def streamed(tokenizer: Tokenizer, ids: list[int], skip: bool, sizes: list[int]) -> str:
    detokenizer = make_detokenizer(tokenizer, skip)
    pieces, place = [], 0
    while place < len(ids):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(detokenizer.push(ids[place : place + size]))
        place += size
    return "".join(pieces) + detokenizer.flush()


Sizes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@given(data=st.data(), skip=st.booleans(), sizes=Sizes)
@settings(max_examples=200, deadline=None)
def test_any_tokens_of_a_byte_level_vocabulary(qwen: Tokenizer, data: Any, skip: bool, sizes: list[int]) -> None:
    """Also broken UTF-8, special tokens, and ids that the vocabulary lacks."""
    ids = data.draw(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 151_935)), max_size=30))
    assert streamed(qwen, ids, skip, sizes) == qwen.decode(ids, skip)


@given(text=st.text(max_size=40), skip=st.booleans(), sizes=Sizes)
@settings(max_examples=200, deadline=None)
def test_any_text_of_a_byte_level_vocabulary(qwen: Tokenizer, text: str, skip: bool, sizes: list[int]) -> None:
    ids = qwen.encode(text, False)
    assert streamed(qwen, ids, skip, sizes) == qwen.decode(ids, skip)


@given(text=st.text(alphabet="theab é漢🎉 \n", max_size=40), skip=st.booleans(), sizes=Sizes, ends=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_text_of_a_vocabulary_with_byte_fallback(text: str, skip: bool, sizes: list[int], ends: bool) -> None:
    tokenizer = sentencepiece()
    ids = tokenizer.encode(text, False) + ([2] if ends else [])
    assert streamed(tokenizer, ids, skip, sizes) == tokenizer.decode(ids, skip)


def test_no_replacement_character_comes_early(qwen: Tokenizer) -> None:
    for tokenizer in (qwen, sentencepiece()):
        detokenizer = make_detokenizer(tokenizer, True)
        pieces = [detokenizer.push([token]) for token in tokenizer.encode("🎉不倒翁é", False)]
        assert "\ufffd" not in "".join(pieces)
        assert "".join(pieces).strip() == "🎉不倒翁é"


def test_bytes_that_never_become_a_character_do_come_out() -> None:
    tokenizer = sentencepiece()
    first = tokenizer.id_of("<0x80>")
    assert first is not None
    detokenizer = make_detokenizer(tokenizer, True)
    assert "\ufffd" in "".join(detokenizer.push([first]) for _ in range(40))


def test_bytes_of_a_token(qwen: Tokenizer) -> None:
    ids = qwen.encode("不倒翁🎉 x", False)
    assert b"".join(map(qwen.bytes_of, ids)).decode() == "不倒翁🎉 x"
    assert qwen.bytes_of(151_900) == b""
