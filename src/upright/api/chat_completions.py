"""POST /v1/chat/completions"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from upright.api.body import read_json
from upright.api.disconnect import unless_gone
from upright.api.front import Front, front_of
from upright.api.generate import answer
from upright.api.job import Labels, Usage, admit, choice_end, make_job, new_id
from upright.api.logprobs import chat_logprobs
from upright.api.schemas import ChatBody, TemplateBody
from upright.api.validation import check_model, parse
from upright.chat.errors import BadRequest
from upright.chat.generation import TextDelta
from upright.chat.prompt import chat_prompt
from upright.chat.template import TemplateOptions
from upright.chat.tokenizer import Tokenizer

PLAIN_END = b',"logprobs":null,"finish_reason":null}],"usage":null}\n\n'  # of most chunks


async def chat_completions(request: Request) -> Response:
    front = front_of(request)
    content = await read_json(request, front)
    return await unless_gone(request.receive, _respond(front, content))


async def _respond(front: Front, content: dict[str, Any]) -> Response:
    body = parse(ChatBody, content)
    model = check_model(front.context, body.model)
    if body.top_logprobs and not body.logprobs:
        raise BadRequest("top_logprobs needs logprobs to be true", "top_logprobs", "invalid_value")
    admit(front, body.n)
    prompt = await chat_prompt(front.context, body.messages, template_options(body), body.add_special_tokens)
    labels = Labels(new_id("chatcmpl"), model, (prompt,))
    top = body.top_logprobs if body.logprobs else None
    form = ChatForm(labels, front.context.tokenizer, top, body.return_token_ids)
    max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return await answer(front, make_job(front, body, labels, form, max_tokens, top, "messages"))


def template_options(body: TemplateBody) -> TemplateOptions:
    tools = None if getattr(body, "tool_choice", None) == "none" else body.tools
    return TemplateOptions(
        add_generation_prompt=body.add_generation_prompt,
        continue_final_message=body.continue_final_message,
        tools=tools,
        documents=body.documents,
        variables=body.chat_template_kwargs,
    )


@dataclass(frozen=True)
class ChatForm:
    """Implements `Form`. Chunks are put together from bytes that are made once: they are the front's hottest path."""

    labels: Labels
    tokenizer: Tokenizer
    top: int | None  # likeliest tokens to list; None: no log-probabilities
    token_ids: bool

    def __post_init__(self) -> None:
        shared = {"id": self.labels.id, "object": "chat.completion.chunk", "created": self.labels.created,
                  "model": self.labels.model}  # fmt: skip
        object.__setattr__(self, "_head", b"data: " + orjson.dumps(shared)[:-1] + b',"choices":[')

    _head: bytes = b""

    def whole(self, answers: Sequence[TextDelta], usage: Usage) -> bytes:
        choices = []
        for index, delta in enumerate(answers):
            choice: dict[str, Any] = {
                "index": index,
                "message": {"role": "assistant", "content": delta.text, "refusal": None},
                "logprobs": None if self.top is None else chat_logprobs(delta, self.top, self.tokenizer),
                "finish_reason": delta.finish_reason,
                "stop_reason": delta.stop_reason,
            }
            if self.token_ids:
                choice["token_ids"] = list(delta.token_ids)
            choices.append(choice)
        body: dict[str, Any] = {
            "id": self.labels.id,
            "object": "chat.completion",
            "created": self.labels.created,
            "model": self.labels.model,
            "choices": choices,
            "usage": usage.plain(),
        }
        if self.token_ids:
            body["prompt_token_ids"] = self.labels.prompts[0].ids
        return orjson.dumps(body)

    def opening(self, index: int, usage: Usage | None) -> bytes:
        delta = b'{"index":%d,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}' % index
        return self._event(delta, usage)

    def chunk(self, index: int, delta: TextDelta, usage: Usage | None) -> bytes:
        if delta.finish_reason is None and self.top is None and not self.token_ids and usage is None:
            if not delta.text:
                return b""
            return b'%b{"index":%d,"delta":{"content":%b}%b' % (self._head, index, orjson.dumps(delta.text), PLAIN_END)
        if delta.finish_reason is None and not delta.text and self.top is None and not self.token_ids:
            return b""
        logprobs = b"null" if self.top is None else orjson.dumps(chat_logprobs(delta, self.top, self.tokenizer))
        content = b'"content":' + orjson.dumps(delta.text) if delta.text else b""
        choice = b'{"index":%d,"delta":{%b},"logprobs":%b,' % (index, content, logprobs)
        return self._event(choice + choice_end(delta, self.token_ids), usage)

    def usage_chunk(self, usage: Usage) -> bytes:
        return self._event(b"", usage)

    def _event(self, choice: bytes, usage: Usage | None) -> bytes:
        told = b"null" if usage is None else orjson.dumps(usage.plain())
        return self._head + choice + b'],"usage":' + told + b"}\n\n"
