"""The model's tokenizer: text to token ids and back, and the ids that mean something."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers.decoders import ByteLevel

from upright.chat.byte_level import token_bytes
from upright.chat.errors import TokenizerError

INLINE_CHARACTERS = 4096  # shorter texts take less time to encode than to hand to a thread
NAMED_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Tokenizer:
    """Wraps `tokenizer.json` and the files beside it. Immutable after loading but for caches; safe to share."""

    def __init__(self, inner: tokenizers.Tokenizer, special_tokens: dict[str, Any], settings: dict[str, Any]) -> None:
        inner.no_padding()
        inner.no_truncation()
        self._inner = inner
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="tokenizer")
        self.special_tokens = special_tokens  # as a chat template sees them: bos_token, eos_token, …
        self.settings = settings  # tokenizer_config.json
        self.byte_level = isinstance(inner.decoder, ByteLevel)
        added = inner.get_added_tokens_decoder()
        self.special_ids = frozenset(token_id for token_id, token in added.items() if token.special)
        self.all_bytes = TokenBytes(self)
        self.text_bytes = TokenBytes(self, dict.fromkeys(self.special_ids, b""))
        self.vocabulary_size: int = inner.get_vocab_size(with_added_tokens=True)

    @classmethod
    def load(cls, directory: Path) -> Tokenizer:
        """Read the tokenizer of a model directory. Raises: TokenizerError."""
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise TokenizerError(
                f"{directory} has no tokenizer.json; if the model came with vocab.json and merges.txt or a "
                "tokenizer.model only, convert it once with transformers: "
                "AutoTokenizer.from_pretrained(DIR, use_fast=True).save_pretrained(DIR)"
            )
        try:
            inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for every fault of the file
            raise TokenizerError(f"cannot read {path}: {error}") from error
        settings = read_json(directory / "tokenizer_config.json")
        special_tokens = _special_tokens(read_json(directory / "special_tokens_map.json") | settings)
        _add_tokens(inner, settings, special_tokens)
        return cls(inner, special_tokens, settings)

    @property
    def inner(self) -> tokenizers.Tokenizer:
        return self._inner

    def id_of(self, token: str) -> int | None:
        found: int | None = self._inner.token_to_id(token)
        return found

    def token_of(self, token_id: int) -> str | None:
        """The token as the vocabulary writes it; None for an id that the vocabulary lacks."""
        found: str | None = self._inner.id_to_token(token_id)
        return found

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._inner.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    async def encode_async(self, text: str, add_special_tokens: bool) -> list[int]:
        """As `encode`; a long text is encoded in a thread, so that the event loop goes on."""
        if len(text) <= INLINE_CHARACTERS:
            return self.encode(text, add_special_tokens)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.encode, text, add_special_tokens)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        text: str = self._inner.decode(ids, skip_special_tokens=skip_special_tokens)
        return text

    def bytes_of(self, token_id: int) -> bytes:
        """The bytes that one token stands for, special tokens included; empty for an id the vocabulary lacks.

        Exact where the vocabulary is byte-level; otherwise the UTF-8 of the token decoded alone.
        """
        return self.all_bytes[token_id]

    def longest_token(self) -> int:
        """Characters of the longest token. Walks the whole vocabulary."""
        return max(map(len, self._inner.get_vocab(with_added_tokens=True)), default=1)


class TokenBytes(dict[int, bytes]):
    """The bytes that each token stands for, filled as they are asked for: `tokens[token_id]`."""

    def __init__(self, tokenizer: Tokenizer, known: Mapping[int, bytes] | None = None) -> None:
        super().__init__(known or {})
        self._tokenizer = tokenizer

    def __missing__(self, token_id: int) -> bytes:
        tokenizer = self._tokenizer
        token = tokenizer.token_of(token_id)
        if token is None:
            found = b""
        elif tokenizer.byte_level:
            found = token_bytes(token)
        else:
            found = tokenizer.decode([token_id], skip_special_tokens=False).encode()
        self[token_id] = found
        return found


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is no file. Raises: TokenizerError for anything else."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TokenizerError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} must hold a JSON object, and holds a {type(content).__name__}")
    return content


def _token_text(value: object) -> str | None:
    """A token as configs write it: a string, or an object with the string in `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _special_tokens(settings: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in NAMED_SPECIAL_TOKENS:
        text = _token_text(settings.get(name))
        if text is not None:
            found[name] = text
    for name in ("additional_special_tokens", "extra_special_tokens"):
        listed = settings.get(name)
        if isinstance(listed, list):
            found["additional_special_tokens"] = [text for text in map(_token_text, listed) if text is not None]
        elif isinstance(listed, dict):  # name → token, as newer configs write the tokens of a multimodal model
            found |= {name: text for name, value in listed.items() if (text := _token_text(value)) is not None}
    return found


def _add_tokens(inner: tokenizers.Tokenizer, settings: dict[str, Any], special_tokens: dict[str, Any]) -> None:
    """Add what tokenizer_config.json knows beyond tokenizer.json, at its ids. Raises: TokenizerError.

    A token that only the config calls special has to be marked, or `skip_special_tokens` would let it through.
    """
    known = inner.get_added_tokens_decoder()
    for token_id, entry in sorted(
        (int(key), value) for key, value in (settings.get("added_tokens_decoder") or {}).items()
    ):
        marked = token_id in known and known[token_id].special
        if inner.id_to_token(token_id) == entry["content"] and (marked or not entry.get("special")):
            continue
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        token = tokenizers.AddedToken(entry["content"], **{flag: bool(entry.get(flag, False)) for flag in flags})
        (inner.add_special_tokens if token.special else inner.add_tokens)([token])
        if inner.token_to_id(entry["content"]) != token_id:
            raise TokenizerError(
                f"tokenizer_config.json puts {entry['content']!r} at id {token_id}, and tokenizer.json at "
                f"{inner.token_to_id(entry['content'])}; the two files do not belong together"
            )
    known = inner.get_added_tokens_decoder()
    special = {token.content for token in known.values() if token.special}
    for text in _texts(special_tokens.values()):
        found = inner.token_to_id(text)
        if found is not None and text not in special:
            inner.add_special_tokens([known.get(found) or tokenizers.AddedToken(text, normalized=False)])


def _texts(values: Iterable[Any]) -> list[str]:
    return [text for value in values for text in (value if isinstance(value, list) else [value])]
