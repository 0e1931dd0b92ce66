"""From what a client sent to the ids and images that the engine runs, checked against what fits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from upright.chat.context import ChatContext
from upright.chat.conversation import ImagePart, Turn, read_conversation
from upright.chat.errors import BadRequest
from upright.chat.images import ImageRules, header_is_at_hand, read_image
from upright.chat.template import TemplateOptions
from upright.messages import Image

INLINE_BYTES = 2**20  # a smaller file takes less time to measure than to hand to a thread
FETCHES_AT_ONCE = 8  # images of one request

T = TypeVar("T")


@dataclass(frozen=True)
class Prompt:
    ids: list[int]
    images: tuple[Image, ...] = ()
    image_params: tuple[str, ...] = ()  # where each image stands in the client's request, for messages

    @property
    def image_tokens(self) -> int:
        return sum(image.tokens for image in self.images)


async def chat_prompt(
    context: ChatContext, messages: Sequence[Any], options: TemplateOptions, add_special_tokens: bool = False
) -> Prompt:
    """Render, fetch, measure and encode a conversation. Raises: BadRequest."""
    if context.template is None:
        raise BadRequest(
            f"{context.names[0]} has no chat template, so it cannot chat; use /v1/completions, or put a "
            "chat_template.jinja into the model's directory",
            "messages",
            "no_chat_template",
        )
    _check_count(context, messages)
    turns = read_conversation(messages)
    parts = [part for turn in turns for part in turn.images]
    rules = _image_rules(context, parts)
    _check_texts(context, turns)
    images = await _gather([_load_image(context, part, rules) for part in parts]) if rules is not None else []
    text = context.template.render(turns, options, context.image_placeholder)
    _check_characters(context, len(text), "messages")
    # A template writes more of a request than its contents, such as names and tools. Images are counted below.
    reserved = [token for token_id, token in context.media_tokens.items() if token_id != context.model.image_token_id]
    _check_text(reserved, text, "messages")
    ids = await context.tokenizer.encode_async(text, add_special_tokens)
    return _place_images(context, ids, images, tuple(part.param for part in parts))


async def text_prompt(context: ChatContext, text: str, add_special_tokens: bool, param: str = "prompt") -> Prompt:
    """Encode a text as it is. Raises: BadRequest."""
    _check_text(context.media_tokens.values(), text, param)
    _check_characters(context, len(text), param)
    ids = await context.tokenizer.encode_async(text, add_special_tokens)
    if not ids:
        raise BadRequest(f"{param} is empty; send at least one token", param)
    return Prompt(ids)


def token_prompt(context: ChatContext, ids: Sequence[int], param: str = "prompt") -> Prompt:
    """Check token ids that a client sent. Raises: BadRequest."""
    if not ids:
        raise BadRequest(f"{param} is empty; send at least one token", param)
    limit = context.model.decoder.vocab_size
    for place, token_id in enumerate(ids):
        if not 0 <= token_id < limit:
            raise BadRequest(f"{param}[{place}] is {token_id}; token ids go from 0 to {limit - 1}", param)
        if token_id in context.media_tokens:
            raise BadRequest(
                f"{param}[{place}] is {context.media_tokens[token_id]}, which stands for an image or video; "
                "send images through /v1/chat/completions",
                param,
            )
    return Prompt(list(ids))


def output_limit(prompt: Prompt, max_tokens: int | None, max_model_len: int, param: str) -> int:
    """How many tokens the answer may have. Raises: BadRequest when prompt and answer cannot fit the context."""
    size = len(prompt.ids)
    room = max_model_len - size
    wanted = 1 if max_tokens is None else max_tokens
    if wanted > room:
        images = f", {prompt.image_tokens} of them for {len(prompt.images)} image(s)" if prompt.images else ""
        asked = "" if max_tokens is None else f", and max_tokens asks for {max_tokens} more"
        advice = "lower max_tokens" if room > 0 else "shorten the prompt"
        if prompt.images and room <= 0:
            advice = "shorten the prompt, or send fewer or smaller images"
        raise BadRequest(
            f"the prompt has {size} tokens{images}{asked}; prompt and answer together may have at most "
            f"{max_model_len}: {advice}",
            "max_tokens" if max_tokens is not None and room > 0 else param,
            "context_length_exceeded",
        )
    return room if max_tokens is None else max_tokens


def _image_rules(context: ChatContext, parts: Sequence[ImagePart]) -> ImageRules | None:
    if not parts:
        return None
    if context.image_rules is None:
        raise BadRequest(
            f"{context.names[0]} reads text only and cannot see images; leave the image out", parts[0].param,
            "images_not_supported",
        )  # fmt: skip
    if len(parts) > context.max_model_len:
        raise BadRequest(
            f"{len(parts)} images cannot fit a context of {context.max_model_len} tokens", "messages",
            "context_length_exceeded",
        )  # fmt: skip
    return context.image_rules


def _check_count(context: ChatContext, messages: Sequence[Any]) -> None:
    """More messages, or parts of them, than there is room for tokens are not worth a template's time."""
    contents = (message.get("content") for message in messages if isinstance(message, dict))
    count = max(len(messages), sum(len(content) for content in contents if isinstance(content, list)))
    if count > context.max_model_len:
        raise BadRequest(
            f"the conversation has {count:,} messages or parts of them, which cannot fit {context.max_model_len} "
            "tokens: shorten it",
            "messages",
            "context_length_exceeded",
        )


def _check_texts(context: ChatContext, turns: Sequence[Turn]) -> None:
    for index, turn in enumerate(turns):
        for text in turn.texts:
            _check_text(context.media_tokens.values(), text, f"messages[{index}].content")


def _check_text(reserved: Iterable[str], text: str, param: str) -> None:
    """A placeholder in a client's text would be taken for an image; refuse it rather than change the text."""
    for token in reserved:
        if token in text:
            raise BadRequest(
                f"{param} holds the text {token}, which this model reserves for images and videos; take it out", param
            )


def _check_characters(context: ChatContext, characters: int, param: str) -> None:
    if characters > context.max_model_len and characters > context.longest_text:
        raise BadRequest(
            f"the prompt has {characters:,} characters, which cannot fit {context.max_model_len} tokens: shorten it",
            param,
            "context_length_exceeded",
        )


async def _load_image(context: ChatContext, part: ImagePart, rules: ImageRules) -> Image:
    content = await context.media.read(part.url, part.param)
    if len(content) <= INLINE_BYTES and header_is_at_hand(content):
        return read_image(content, rules, part.param)
    return await asyncio.to_thread(read_image, content, rules, part.param)


async def _gather(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order, a few at a time; the first failure cancels the rest and is raised as it is."""
    if len(work) == 1:
        return [await work[0]]
    gate = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def gated(one: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await one

    tasks = [asyncio.ensure_future(gated(one)) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        for one in work:
            one.close()  # those that never started; closing a finished coroutine does nothing


def _place_images(context: ChatContext, ids: list[int], images: Sequence[Image], params: tuple[str, ...]) -> Prompt:
    """Widen each image's one placeholder token to as many as the image has. Raises: BadRequest."""
    token = context.model.image_token_id
    places = [index for index, token_id in enumerate(ids) if token_id == token] if token is not None else []
    if len(places) != len(images):
        raise BadRequest(
            f"the messages have {len(images)} image(s), and the model's chat template made {len(places)} "
            f"placeholder(s) of them; put images into user messages, and keep "
            f"{context.image_placeholder} out of the text",
            "messages",
        )
    expanded: list[int] = []
    placed = []
    done = 0
    for place, image in zip(places, images, strict=True):
        expanded += ids[done:place]
        placed.append(msgspec.structs.replace(image, start=len(expanded)))
        expanded += [ids[place]] * image.tokens
        done = place + 1
    expanded += ids[done:]
    if not expanded:
        raise BadRequest("the messages make an empty prompt; send some text", "messages")
    return Prompt(expanded, tuple(placed), params)
