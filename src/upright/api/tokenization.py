"""POST /tokenize and POST /detokenize, in vLLM's forms."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from upright.api.body import read_json
from upright.api.chat_completions import template_options
from upright.api.disconnect import unless_gone
from upright.api.front import Front, front_of
from upright.api.schemas import DetokenizeBody, TokenizeBody
from upright.api.validation import check_model, parse
from upright.chat.errors import BadRequest
from upright.chat.prompt import chat_prompt, text_prompt


async def tokenize(request: Request) -> Response:
    """A prompt's or a conversation's tokens, images counted as the engine will see them."""
    front = front_of(request)
    content = await read_json(request, front)
    return await unless_gone(request.receive, _tokenize(front, content))


async def _tokenize(front: Front, content: dict[str, Any]) -> Response:
    body = parse(TokenizeBody, content)
    check_model(front.context, body.model)
    if (body.prompt is None) == (body.messages is None):
        raise BadRequest("send either prompt or messages", "prompt", "missing_field")
    if body.messages is not None:
        prompt = await chat_prompt(front.context, body.messages, template_options(body), bool(body.add_special_tokens))
    else:
        add_special_tokens = body.add_special_tokens is None or body.add_special_tokens
        prompt = await text_prompt(front.context, body.prompt or "", add_special_tokens)
    names = [front.context.tokenizer.token_of(i) for i in prompt.ids] if body.return_token_strs else None
    answer = {"count": len(prompt.ids), "max_model_len": front.max_model_len, "tokens": prompt.ids, "token_strs": names}
    return Response(orjson.dumps(answer), media_type="application/json")


async def detokenize(request: Request) -> Response:
    front = front_of(request)
    body = parse(DetokenizeBody, await read_json(request, front))
    check_model(front.context, body.model)
    limit = front.context.model.decoder.vocab_size
    for place, token_id in enumerate(body.tokens):
        if not 0 <= token_id < limit:
            name = f"tokens[{place}]"
            raise BadRequest(f"{name} is {token_id}; token ids go from 0 to {limit - 1}", name, "invalid_value")
    text = front.context.tokenizer.decode(body.tokens, skip_special_tokens=False)
    return Response(orjson.dumps({"prompt": text}), media_type="application/json")
