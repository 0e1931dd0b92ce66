"""From a request's fields to the parameters that the engine runs, every default resolved."""

from __future__ import annotations

from typing import TypeVar

from upright.api.schemas import SAFE_DIGITS, GenerationBody
from upright.api.validation import shown
from upright.chat.context import ChatContext
from upright.chat.errors import BadRequest
from upright.chat.generation import OutputOptions
from upright.chat.stop import build_automaton
from upright.messages import GREEDY_BELOW, SamplingParams

LEAST_TOP_P = 1e-9  # top_p 0 keeps the likeliest token, as OpenAI has it
SEEDS = 2**63

T = TypeVar("T")


def sampling_params(
    context: ChatContext, body: GenerationBody, max_tokens: int, logprobs: int | None, seed: int
) -> SamplingParams:
    """The request's own values, else generation_config.json's, else OpenAI's. Raises: BadRequest naming the field."""
    defaults = context.model.generation
    if body.min_tokens > max_tokens:
        raise BadRequest(
            f"min_tokens is {body.min_tokens}, and the answer may have at most {max_tokens} tokens", "min_tokens"
        )
    temperature = _first(body.temperature, defaults.temperature, 1.0)
    eos = () if body.ignore_eos else context.model.eos_token_ids
    return SamplingParams(
        seed=seed % SEEDS,
        max_tokens=max_tokens,
        min_tokens=body.min_tokens,
        temperature=temperature if temperature >= GREEDY_BELOW else 0.0,
        top_p=max(_first(body.top_p, defaults.top_p, 1.0), LEAST_TOP_P),
        top_k=max(_first(body.top_k, defaults.top_k, 0), 0),
        min_p=_first(body.min_p, defaults.min_p, 0.0),
        repetition_penalty=_first(body.repetition_penalty, defaults.repetition_penalty, 1.0),
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        no_repeat_ngram_size=_ngram_size(body),
        logit_bias=_logit_bias(context, body),
        end_token_ids=tuple(dict.fromkeys((*eos, *_stop_token_ids(context, body)))),
        logprobs=logprobs,
    )


def output_options(context: ChatContext, body: GenerationBody) -> OutputOptions:
    return OutputOptions(
        eos_token_ids=frozenset() if body.ignore_eos else frozenset(context.model.eos_token_ids),
        stop=build_automaton(tuple(body.stop)) if body.stop else None,
        include_stop=body.include_stop_str_in_output,
        skip_special_tokens=body.skip_special_tokens,
        min_tokens=body.min_tokens,
    )


def _first(asked: T | None, default: T | None, otherwise: T) -> T:
    if asked is not None:
        return asked
    return default if default is not None else otherwise


def _ngram_size(body: GenerationBody) -> int:
    size = body.vllm_xargs.get("no_repeat_ngram_size", body.no_repeat_ngram_size)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        name = "vllm_xargs.no_repeat_ngram_size"
        raise BadRequest(f"{name} must be an integer of 0 or more, got {shown(size)}", name, "invalid_value")
    return size


def _logit_bias(context: ChatContext, body: GenerationBody) -> dict[int, float]:
    limit = context.model.decoder.vocab_size
    bias = {}
    for key, value in body.logit_bias.items():
        if not (key.isascii() and key.isdigit() and len(key) <= SAFE_DIGITS and int(key) < limit):
            raise BadRequest(
                f"logit_bias has the key {shown(key)}; keys are token ids from 0 to {limit - 1}", "logit_bias",
                "invalid_value",
            )  # fmt: skip
        bias[int(key)] = value
    return bias


def _stop_token_ids(context: ChatContext, body: GenerationBody) -> list[int]:
    limit = context.model.decoder.vocab_size
    for place, token_id in enumerate(body.stop_token_ids):
        if not 0 <= token_id < limit:
            name = f"stop_token_ids[{place}]"
            raise BadRequest(f"{name} is {token_id}; token ids go from 0 to {limit - 1}", name, "invalid_value")
    return body.stop_token_ids
