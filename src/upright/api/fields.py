"""What becomes of the fields of OpenAI's and vLLM's requests that `schemas` lacks: refused, or ignored for a reason.

A field that would change the answer, its form, or who else may learn of it is refused with advice: to ignore it would
answer another question than the one asked. The others may be ignored.
"""

from __future__ import annotations

from typing import Any

# Field → values that ask for nothing. Any other value asks for something that is not supported.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "allowed_token_ids": (), "audio": (), "bad_words": ([],), "best_of": (1,), "cache_salt": (), "chat_template": (),
    "early_stopping": (False,), "echo": (False,), "ec_transfer_params": ({},), "function_call": ("none", "auto"),
    "functions": ([],), "guided_choice": (), "guided_grammar": (), "guided_json": (), "guided_regex": (),
    "kv_transfer_params": ({},), "length_penalty": (1,), "logits_processors": ([],), "logprob_token_ids": (),
    "media_io_kwargs": ({},), "mm_processor_kwargs": ({},), "modalities": (["text"],), "moderation": (),
    "prediction": (), "priority": (0,), "prompt_embeds": (), "prompt_logprobs": (), "reasoning_effort": ("none",),
    "repetition_detection": (), "response_format": ({"type": "text"},), "return_prompt_text": (False,),
    "return_tokens_as_token_ids": (False,), "structural_tag": (), "structured_outputs": (), "suffix": ("",),
    "thinking_token_budget": (-1,), "tool_choice": ("none", "auto"), "truncate_prompt_tokens": (),
    "use_beam_search": (False,), "verbosity": ("medium",), "watermarking": (False,), "web_search_options": (),
}  # fmt: skip
ADVICE = {
    "allowed_token_ids": "to keep an answer to a few tokens raise them with logit_bias",
    "bad_words": "to keep tokens out of an answer lower them with logit_bias",
    "cache_salt": "prompts of all clients share one prefix cache; who may not share it needs a server of their own",
    "chat_template": "put a chat_template.jinja into the model's directory",
    "echo": "put the prompt before the answer yourself",
    "mm_processor_kwargs": "set --max-pixels when the server starts",
    "prediction": "leave it out: the answer is the same",
    "priority": "only 0 is: requests are served in the order in which they come",
    "reasoning_effort": "only 'none' is; what the model's chat template knows of it goes into chat_template_kwargs",
    "response_format": 'only {"type": "text"} is',
    "thinking_token_budget": "bound the whole answer with max_tokens",
    "tool_choice": "only 'auto' and 'none' are",
    "truncate_prompt_tokens": "shorten the prompt yourself",
    "verbosity": "only 'medium' is; ask for it in the prompt",
    "web_search_options": "the server reaches nothing but the images that a request names",
}

# Ignored without a word: none of them changes an answer.
HARMLESS = frozenset({
    # notes for whoever runs the service, or for a cache and a queue that work without them
    "metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "request_id",
    "safety_identifier", "service_tier", "session_id", "store", "user",
    # how, not what: calls of tools come as text, decoders here need no space between special tokens, and chunks are
    # as large as they happen to be
    "parallel_tool_calls", "spaces_between_special_tokens", "stream_interval",
    # they go with a field that is refused, with a model that thinks apart, or with routes that are not here
    "guided_decoding_backend", "guided_whitespace_pattern", "include_reasoning", "return_mm_kwargs",
    "return_token_offsets", "routed_experts_prompt_start", "truncation_side",
})  # fmt: skip
