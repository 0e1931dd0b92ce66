"""One generation request, checked and ready to run: what to submit, and how its answer is written."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import orjson

from upright.api.front import Front
from upright.api.sampling import output_options, sampling_params
from upright.api.schemas import GenerationBody
from upright.chat.errors import BadRequest
from upright.chat.generation import OutputOptions, TextDelta
from upright.chat.prompt import Prompt, output_limit
from upright.messages import Request
from upright.supervise.service import NeverAdmitted

MOST_SEQUENCES = 1024  # of one HTTP request


@dataclass(frozen=True)
class Usage:
    prompt: int  # tokens; a prompt counts once, however many answers it gets
    completion: int
    cached: int  # of the prompt tokens, those that the prefix cache had

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt + other.prompt, self.completion + other.completion, self.cached + other.cached)

    def plain(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


class Form(Protocol):
    """How answers are written: the chat form or the completions form. Chunks are complete server-sent events."""

    def whole(self, answers: Sequence[TextDelta], usage: Usage) -> bytes:
        """The body of an answer that is not streamed; one delta per choice."""
        ...

    def opening(self, index: int, usage: Usage | None) -> bytes:
        """What a choice begins with; may be empty."""
        ...

    def chunk(self, index: int, delta: TextDelta, usage: Usage | None) -> bytes:
        """One delta of one choice; empty when there is nothing to say."""
        ...

    def usage_chunk(self, usage: Usage) -> bytes: ...


@dataclass(frozen=True)
class Job:
    id: str
    requests: tuple[Request, ...]  # by choice: all answers to the first prompt, then to the second, …
    prompts: tuple[Prompt, ...]
    answers_each: int  # answers to each prompt
    options: OutputOptions
    form: Form
    stream: bool
    include_usage: bool
    continuous_usage: bool

    def image_params(self, choice: int) -> tuple[str, ...]:
        """Where the images behind an answer stand in the client's request."""
        return self.prompts[choice // self.answers_each].image_params


@dataclass(frozen=True)
class Labels:
    """What every piece of an answer repeats."""

    id: str
    model: str
    prompts: tuple[Prompt, ...]
    created: int = field(default_factory=lambda: int(time.time()))


def choice_end(delta: TextDelta, token_ids: bool) -> bytes:
    """The last fields of one choice in a chunk, the same in both forms."""
    ids = b'"token_ids":%b,' % orjson.dumps(list(delta.token_ids)) if token_ids else b""
    if delta.finish_reason is None:
        return ids + b'"finish_reason":null}'
    reasons = (delta.finish_reason.encode(), orjson.dumps(delta.stop_reason))
    return ids + b'"finish_reason":"%b","stop_reason":%b}' % reasons


def new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


def admit(front: Front, answers_each: int, prompts: int = 1) -> None:
    """Ask for room before any work is spent on a request.

    Raises: BadRequest for one that is too large ever to be let in; Overloaded, EngineUnavailable.
    """
    try:
        front.service.admit(prompts * answers_each)
    except NeverAdmitted as error:
        raise BadRequest(str(error), "n" if answers_each > 1 else "prompt", "too_many_answers") from error


def make_job(
    front: Front,
    body: GenerationBody,
    labels: Labels,
    form: Form,
    max_tokens: int | None,
    logprobs: int | None,
    param: str,
) -> Job:
    """Raises: BadRequest when a prompt and its answer do not fit, or a field is wrong."""
    seed = front.fresh_seed() if body.seed is None else body.seed
    requests: list[Request] = []
    for prompt in labels.prompts:
        limit = output_limit(prompt, max_tokens, front.max_model_len, param)
        params = sampling_params(front.context, body, limit, logprobs, seed)
        for answer in range(body.n):
            index = len(requests)
            one = msgspec.structs.replace(params, seed=(params.seed + answer) % 2**63) if answer else params
            requests.append(Request(id=f"{labels.id}-{index}", prompt=prompt.ids, params=one, images=prompt.images))
    stream_options = body.stream_options
    return Job(
        id=labels.id,
        requests=tuple(requests),
        prompts=labels.prompts,
        answers_each=body.n,
        options=output_options(front.context, body),
        form=form,
        stream=body.stream,
        include_usage=stream_options is not None and stream_options.include_usage,
        continuous_usage=stream_options is not None and stream_options.continuous_usage_stats,
    )
