"""Log-probabilities in the two forms that OpenAI's API has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upright.chat.generation import TextDelta
from upright.chat.tokenizer import Tokenizer

LEAST = -9999.0  # JSON has no infinity


def chat_logprobs(delta: TextDelta, top: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """One object for each token, with the `top` likeliest ones beside it."""
    return {
        "content": [
            {
                **_token(tokenizer, token_id, entry.logprob),
                "top_logprobs": [_token(tokenizer, other, logprob) for other, logprob in entry.top[:top]],
            }
            for token_id, entry in zip(delta.token_ids, delta.logprobs, strict=True)
        ]
    }


def completion_logprobs(delta: TextDelta, top: int, tokenizer: Tokenizer, offset: int) -> dict[str, Any]:
    """Parallel lists. `offset` is where the first token begins in the text of all tokens so far."""
    texts = [_text(tokenizer, token_id) for token_id in delta.token_ids]
    offsets = []
    for text in texts:
        offsets.append(offset)
        offset += len(text)
    return {
        "text_offset": offsets,
        "tokens": texts,
        "token_logprobs": [max(entry.logprob, LEAST) for entry in delta.logprobs],
        "top_logprobs": [
            {_text(tokenizer, other): max(logprob, LEAST) for other, logprob in entry.top[:top]}
            | {text: max(entry.logprob, LEAST)}
            for text, entry in zip(texts, delta.logprobs, strict=True)
        ],
    }


def text_length(token_ids: Sequence[int], tokenizer: Tokenizer) -> int:
    return sum(len(_text(tokenizer, token_id)) for token_id in token_ids)


def _text(tokenizer: Tokenizer, token_id: int) -> str:
    return tokenizer.bytes_of(token_id).decode("utf-8", "replace")


def _token(tokenizer: Tokenizer, token_id: int, logprob: float) -> dict[str, Any]:
    content = tokenizer.bytes_of(token_id)
    return {"token": content.decode("utf-8", "replace"), "logprob": max(logprob, LEAST), "bytes": list(content)}
