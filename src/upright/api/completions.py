"""POST /v1/completions"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from upright.api.body import read_json
from upright.api.disconnect import unless_gone
from upright.api.front import Front, front_of
from upright.api.generate import answer
from upright.api.job import MOST_SEQUENCES, Labels, Usage, admit, choice_end, make_job, new_id
from upright.api.logprobs import completion_logprobs, text_length
from upright.api.schemas import CompletionBody
from upright.api.validation import check_model, parse
from upright.chat.context import ChatContext
from upright.chat.errors import BadRequest
from upright.chat.generation import TextDelta
from upright.chat.prompt import Prompt, text_prompt, token_prompt
from upright.chat.tokenizer import Tokenizer


async def completions(request: Request) -> Response:
    front = front_of(request)
    content = await read_json(request, front)
    return await unless_gone(request.receive, _respond(front, content))


async def _respond(front: Front, content: dict[str, Any]) -> Response:
    body = parse(CompletionBody, content)
    model = check_model(front.context, body.model)
    listed = split_prompts(body.prompt, body.n)
    admit(front, body.n, len(listed))
    prompts = tuple([await _prompt(front.context, one, body.add_special_tokens, name) for name, one in listed])
    labels = Labels(new_id("cmpl"), model, prompts)
    form = CompletionForm(labels, front.context.tokenizer, body.logprobs, body.return_token_ids, body.n)
    return await answer(front, make_job(front, body, labels, form, body.max_tokens, body.logprobs, "prompt"))


def split_prompts(prompt: Any, answers: int) -> list[tuple[str, str | list[int]]]:
    """The prompts of a request, each with the name of its field: a text, token ids, or a list of either.

    `answers`: how many each is to have.

    Raises: BadRequest.
    """
    if isinstance(prompt, str) or _is_ids(prompt):
        return [("prompt", prompt)]
    if not isinstance(prompt, list) or not prompt:
        raise BadRequest("prompt must be a text, a list of token ids, or a non-empty list of either", "prompt")
    if type(prompt[0]) is int:
        wrong = next(place for place, one in enumerate(prompt) if type(one) is not int)
        raise BadRequest(f"prompt[{wrong}] must be a token id, as what is before it", f"prompt[{wrong}]")
    if len(prompt) * answers > MOST_SEQUENCES:  # before any of them is looked at
        raise BadRequest(
            f"{len(prompt):,} prompts with {answers} answers each are {len(prompt) * answers:,} sequences; one request "
            f"may have {MOST_SEQUENCES} at most: send several requests",
            "prompt",
        )
    named = [(f"prompt[{place}]", one) for place, one in enumerate(prompt)]
    for name, one in named:
        if not isinstance(one, str) and not _is_ids(one):
            raise BadRequest(f"{name} must be a text or a non-empty list of token ids", name)
    return named


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)


async def _prompt(context: ChatContext, given: str | list[int], add_special_tokens: bool, name: str) -> Prompt:
    if isinstance(given, str):
        return await text_prompt(context, given, add_special_tokens, name)
    return token_prompt(context, given, name)


@dataclass(frozen=True)
class CompletionForm:
    """Implements `Form`."""

    labels: Labels
    tokenizer: Tokenizer
    top: int | None  # likeliest tokens to list; None: no log-probabilities
    token_ids: bool
    answers_each: int
    _offsets: dict[int, int] = field(default_factory=dict)  # characters of each choice's tokens so far
    _head: bytes = b""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_head", b"data: " + orjson.dumps(self._shared())[:-1] + b',"choices":[')

    def _shared(self) -> dict[str, Any]:
        return {"id": self.labels.id, "object": "text_completion", "created": self.labels.created,
                "model": self.labels.model}  # fmt: skip

    def whole(self, answers: Sequence[TextDelta], usage: Usage) -> bytes:
        choices = []
        for index, delta in enumerate(answers):
            choice = {
                "index": index,
                "text": delta.text,
                "logprobs": self._logprobs(index, delta),
                "finish_reason": delta.finish_reason,
                "stop_reason": delta.stop_reason,
            }
            if self.token_ids:
                choice["token_ids"] = list(delta.token_ids)
                choice["prompt_token_ids"] = self.labels.prompts[index // self.answers_each].ids
            choices.append(choice)
        return orjson.dumps(self._shared() | {"choices": choices, "usage": usage.plain()})

    def opening(self, index: int, usage: Usage | None) -> bytes:
        return b""

    def chunk(self, index: int, delta: TextDelta, usage: Usage | None) -> bytes:
        if delta.finish_reason is None and not delta.text and self.top is None and not self.token_ids:
            return b""
        logprobs = orjson.dumps(self._logprobs(index, delta))
        choice = b'{"index":%d,"text":%b,"logprobs":%b,' % (index, orjson.dumps(delta.text), logprobs)
        return self._event(choice + choice_end(delta, self.token_ids), usage)

    def usage_chunk(self, usage: Usage) -> bytes:
        return self._event(b"", usage)

    def _logprobs(self, index: int, delta: TextDelta) -> dict[str, Any] | None:
        if self.top is None:
            return None
        offset = self._offsets.get(index, 0)
        self._offsets[index] = offset + text_length(delta.token_ids, self.tokenizer)
        return completion_logprobs(delta, self.top, self.tokenizer, offset)

    def _event(self, choice: bytes, usage: Usage | None) -> bytes:
        told = b"null" if usage is None else orjson.dumps(usage.plain())
        return self._head + choice + b'],"usage":' + told + b"}\n\n"
