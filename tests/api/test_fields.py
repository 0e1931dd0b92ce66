"""Every field of OpenAI's and vLLM's requests is supported, refused, or harmless: none is ignored by oversight."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params

from upright.api.fields import ADVICE, HARMLESS, UNSUPPORTED
from upright.api.schemas import Body, ChatBody, CompletionBody
from upright.api.validation import parse

# What vLLM's newer and older versions take beyond OpenAI's fields, for both routes
VLLM = {
    "add_special_tokens", "allowed_token_ids", "bad_words", "cache_salt", "ec_transfer_params", "guided_choice",
    "guided_decoding_backend", "guided_grammar", "guided_json", "guided_regex", "guided_whitespace_pattern",
    "ignore_eos", "include_stop_str_in_output", "kv_transfer_params", "length_penalty", "logits_processors",
    "logprob_token_ids", "min_p", "min_tokens", "prompt_embeds", "prompt_logprobs", "priority",
    "repetition_detection", "repetition_penalty", "request_id", "response_format", "return_mm_kwargs",
    "return_token_ids", "return_token_offsets", "return_tokens_as_token_ids", "routed_experts_prompt_start",
    "session_id", "skip_special_tokens", "spaces_between_special_tokens", "stop_token_ids", "stream_interval",
    "structural_tag", "structured_outputs", "thinking_token_budget", "top_k", "truncate_prompt_tokens",
    "truncation_side", "use_beam_search", "vllm_xargs", "watermarking",
}  # fmt: skip
VLLM_CHAT = {
    "add_generation_prompt", "best_of", "chat_template", "chat_template_kwargs", "continue_final_message",
    "documents", "echo", "include_reasoning", "media_io_kwargs", "mm_processor_kwargs", "return_prompt_text",
}  # fmt: skip


def without_a_place(kind: type[Body], fields: Iterable[str]) -> set[str]:
    return set(fields) - kind.model_fields.keys() - UNSUPPORTED.keys() - HARMLESS


def test_every_field_has_its_place() -> None:
    chat = chat_create_params.CompletionCreateParamsNonStreaming.__annotations__
    assert without_a_place(ChatBody, [*chat, *VLLM, *VLLM_CHAT]) == set()
    plain = completion_create_params.CompletionCreateParamsBase.__annotations__
    assert without_a_place(CompletionBody, [*plain, "stream", *VLLM]) == set()


def test_no_field_has_two_places() -> None:
    assert not UNSUPPORTED.keys() & HARMLESS
    assert ADVICE.keys() <= UNSUPPORTED.keys()
    for kind in (ChatBody, CompletionBody):
        assert not kind.model_fields.keys() & HARMLESS
        assert kind.model_fields.keys() & UNSUPPORTED.keys() <= {"tool_choice"}  # of which some values are supported


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_values_that_ask_for_nothing_pass(name: str) -> None:
    for value in (None, *UNSUPPORTED[name]):
        parse(ChatBody, {"messages": [], name: value})
