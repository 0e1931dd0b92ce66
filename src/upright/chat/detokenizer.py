"""Tokens to text, one at a time, for those who stream.

A token may hold part of a character, so text comes out only when it can no longer change: the pieces of one
sequence, put together, are always the text of decoding all its tokens at once.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from upright.chat.tokenizer import Tokenizer

REPLACEMENT = "\ufffd"
LONGEST_HOLD = 16  # tokens: no UTF-8 character has more bytes than 4, so what is still broken here is really broken


class ByteLevelDetokenizer:
    """For byte-level vocabularies: each token is bytes, so a streaming UTF-8 decoder is exact and costs O(1)."""

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool) -> None:
        self._bytes_of = (tokenizer.text_bytes if skip_special_tokens else tokenizer.all_bytes).__getitem__
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def push(self, ids: Sequence[int]) -> str:
        """The text that these tokens settle."""
        return self._decode(b"".join(map(self._bytes_of, ids)))

    def flush(self) -> str:
        """What was held back; call once, after the last token."""
        return self._decode(b"", True)


class WindowDetokenizer:
    """For any other decoder: decode a short window twice, without and with the new tokens, and take the difference.

    The window begins with the tokens that settled last, so that a decoder that strips a leading space, or joins byte
    tokens, meets no false start. A decoder that takes back what it said (byte fallback turns a whole run of bytes
    into replacement characters once one of them is wrong) cannot be followed after the fact: there the text that
    went out stands.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids if skip_special_tokens else frozenset()
        self._window: list[int] = []  # context, then tokens whose text is not out yet
        self._context = 0  # how many of the window are context

    def push(self, ids: Sequence[int]) -> str:
        """The text that these tokens settle."""
        settled = []
        for token_id in ids:
            if token_id not in self._skipped and self._tokenizer.token_of(token_id) is not None:
                self._window.append(token_id)
                settled.append(self._settle(final=False))
        return "".join(settled)

    def flush(self) -> str:
        """What was held back; call once, after the last token."""
        return self._settle(final=True)

    def _settle(self, final: bool) -> str:
        pending = len(self._window) - self._context
        if pending == 0:
            return ""
        text = self._decode(self._window)
        if text.endswith(REPLACEMENT) and not final and pending < LONGEST_HOLD:
            return ""
        before = self._decode(self._window[: self._context])
        settled = text[len(before) :]
        self._window = self._window[self._context if settled else -LONGEST_HOLD :]
        self._context = len(self._window)
        return settled

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)


Detokenizer = ByteLevelDetokenizer | WindowDetokenizer


def make_detokenizer(tokenizer: Tokenizer, skip_special_tokens: bool) -> Detokenizer:
    kind = ByteLevelDetokenizer if tokenizer.byte_level else WindowDetokenizer
    return kind(tokenizer, skip_special_tokens)
