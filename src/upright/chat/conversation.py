"""The messages of a chat request as typed parts. The JSON's shape is judged here, field by field, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from upright.chat.errors import BadRequest
from upright.chat.json_text import read_json_text

TEXT_TYPES = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
IMAGE_TYPES = {"image_url": "image_url", "input_image": "image_url", "image": "image"}
UNSUPPORTED_TYPES = {
    "video_url": "videos", "input_video": "videos", "video": "videos",
    "audio_url": "audio", "input_audio": "audio", "audio": "audio",
    "file": "files", "input_file": "files",
}  # fmt: skip


@dataclass(frozen=True)
class TextPart:
    text: str


@dataclass(frozen=True)
class ImagePart:
    url: str
    param: str  # where it stands in the request, for messages


Part = TextPart | ImagePart


@dataclass(frozen=True)
class Turn:
    """One message: its content, and every other field as the chat template may want it."""

    fields: dict[str, Any]  # role, name, tool_calls, tool_call_id, …
    content: str | tuple[Part, ...] | None

    @property
    def images(self) -> list[ImagePart]:
        return [part for part in self.content if isinstance(part, ImagePart)] if isinstance(self.content, tuple) else []

    @property
    def texts(self) -> list[str]:
        if isinstance(self.content, str):
            return [self.content]
        return [part.text for part in self.content or () if isinstance(part, TextPart)]


def read_conversation(messages: Sequence[Any]) -> tuple[Turn, ...]:
    """Check and type the `messages` of a request. Raises: BadRequest naming the field."""
    if not messages:
        raise BadRequest("messages is empty; send at least one message", "messages")
    return tuple(_turn(message, f"messages[{index}]") for index, message in enumerate(messages))


def _turn(message: Any, where: str) -> Turn:
    if not isinstance(message, dict):
        raise BadRequest(f"{where} must be an object, got {_kind(message)}", where)
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise BadRequest(f"{where}.role must be a string such as 'user', got {_kind(role)}", f"{where}.role")
    fields = {name: value for name, value in message.items() if name != "content" and value is not None}
    if "tool_calls" in fields:
        fields["tool_calls"] = _tool_calls(fields["tool_calls"], f"{where}.tool_calls")
    content = message.get("content")
    if content is None or isinstance(content, str):
        if content is None and role in ("system", "user", "developer"):
            raise BadRequest(f"{where}.content is missing", f"{where}.content")
        return Turn(fields, content)
    if not isinstance(content, list):
        raise BadRequest(f"{where}.content must be a string or a list, got {_kind(content)}", f"{where}.content")
    return Turn(fields, tuple(_part(part, f"{where}.content[{index}]") for index, part in enumerate(content)))


def _part(part: Any, where: str) -> Part:
    if isinstance(part, str):
        return TextPart(part)
    if not isinstance(part, dict):
        raise BadRequest(f"{where} must be an object with a type, got {_kind(part)}", where)
    kind = part.get("type")
    if not isinstance(kind, str):
        raise BadRequest(f"{where}.type must be 'text' or 'image_url', got {_kind(kind)}", f"{where}.type")
    if kind in TEXT_TYPES:
        text = part.get(TEXT_TYPES[kind])
        if not isinstance(text, str):
            raise BadRequest(f"{where}.text must be a string, got {_kind(text)}", f"{where}.text")
        return TextPart(text)
    if kind in IMAGE_TYPES:
        return _image(part.get(IMAGE_TYPES[kind]), f"{where}.{IMAGE_TYPES[kind]}")
    if kind in UNSUPPORTED_TYPES:
        raise BadRequest(
            f"{where} is of type {kind!r}: this server takes text and images, no {UNSUPPORTED_TYPES[kind]}",
            where,
            "unsupported_content",
        )
    raise BadRequest(f"{where}.type must be 'text' or 'image_url', got {kind[:100]!r}", f"{where}.type")


def _image(value: Any, where: str) -> ImagePart:
    if isinstance(value, dict):
        value, where = value.get("url"), f"{where}.url"
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{where} must be a data:, http(s):// or file:// URL, got {_kind(value)}", where)
    return ImagePart(value, where)


def _tool_calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """Tool calls with their arguments as objects, which is what chat templates expect."""
    if not isinstance(calls, list):
        raise BadRequest(f"{where} must be a list, got {_kind(calls)}", where)
    read = []
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise BadRequest(f"{where}[{index}].function must be an object", f"{where}[{index}].function")
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                arguments = read_json_text(arguments) if arguments.strip() else {}
            except (ValueError, RecursionError) as error:
                name = f"{where}[{index}].function.arguments"
                raise BadRequest(f"{name} is not valid JSON: {error}", name) from error
        read.append(call | {"function": function | {"arguments": arguments}})
    return read


def _kind(value: Any) -> str:
    if value == "":
        return "an empty string"
    names = {type(None): "nothing", dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")
