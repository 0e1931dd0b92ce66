"""The bodies of requests, typed and bounded. Names are OpenAI's, and vLLM's where OpenAI has none.

Types are strict: a number in quotes is refused rather than guessed at. A field set to null counts as absent. What
becomes of fields that are not here `fields` says; of those that neither knows there is one debug line.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field
from pydantic_core import PydanticKnownError

MOST_CHOICES = 128
MOST_STOPS = 64
LONGEST_STOP = 1024  # characters
MOST_BIASES = 1024
MOST_LOGPROBS = 20
MOST_TOOLS = 1024
MOST_TOKENS = 2**20  # of /detokenize
LEAST_REPETITION = 0.01  # as far from 1 as the greatest; less overflows the model's numbers


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _few_biases(value: object) -> object:
    """Refused before any of them is looked at."""
    if isinstance(value, dict) and len(value) > MOST_BIASES:
        sizes = {"field_type": "Dictionary", "max_length": MOST_BIASES, "actual_length": len(value)}
        raise PydanticKnownError("too_long", sizes)
    return value


Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]],
    Field(max_length=MOST_STOPS),
    FailFast(),
    BeforeValidator(_listed),
]
SAFE_DIGITS = 18  # an integer of no more has 64 bits at most, and Python reads it whatever they are
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # what crosses to the engine
Bias = Annotated[float, Field(ge=-100, le=100)]
Biases = Annotated[dict[str, Bias], BeforeValidator(_few_biases)]
Objects = Annotated[list[dict[str, Any]], Field(max_length=MOST_TOOLS), FailFast()]
Ids = Annotated[list[int], FailFast()]  # one that is wrong is enough: errors take more memory than what they are about


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)


class StreamOptions(Body):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class GenerationBody(Body):
    """What both ways to generate have in common. Penalties count the tokens of the output only, never the prompt's."""

    model: str | None = None
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Integer | None = Field(None, ge=1)
    min_tokens: Integer = Field(0, ge=0)
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: Integer | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=LEAST_REPETITION, le=100)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    no_repeat_ngram_size: Integer = Field(0, ge=0)
    vllm_xargs: dict[str, Any] = Field(default_factory=dict)
    logit_bias: Biases = Field(default_factory=dict)
    seed: Integer | None = None
    stop: Stops = Field(default_factory=list)
    stop_token_ids: Ids = Field(default_factory=list, max_length=MOST_STOPS)
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    return_token_ids: bool = False


class TemplateBody(Body):
    """How messages are rendered."""

    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    tools: Objects = Field(default_factory=list)
    documents: Objects = Field(default_factory=list)


class ChatBody(GenerationBody, TemplateBody):
    """POST /v1/chat/completions"""

    messages: list[Any]
    max_completion_tokens: Integer | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MOST_LOGPROBS)
    tool_choice: str | dict[str, Any] | None = None


class CompletionBody(GenerationBody):
    """POST /v1/completions. `prompt`: a text, token ids, or a list of either."""

    prompt: Any
    logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    add_special_tokens: bool = True


class TokenizeBody(TemplateBody):
    """POST /tokenize, with either a prompt or messages."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Any] | None = None
    add_special_tokens: bool | None = None  # type: ignore[assignment]
    return_token_strs: bool = False


class DetokenizeBody(Body):
    """POST /detokenize"""

    model: str | None = None
    tokens: Ids = Field(max_length=MOST_TOKENS)
