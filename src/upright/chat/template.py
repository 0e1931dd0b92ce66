"""The model's own chat template: from messages to the text that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes

from upright.chat.conversation import Part, TextPart, Turn
from upright.chat.errors import BadRequest, TokenizerError
from upright.chat.template_environment import environment
from upright.chat.tokenizer import read_json

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PROBE = "UprightProbe"
CONTINUE_MARK = "UPRIGHT_CONTINUES_HERE "  # the space shows whether the template trims what it is given


@dataclass(frozen=True)
class TemplateOptions:
    """What a request may set about rendering."""

    add_generation_prompt: bool = True
    continue_final_message: bool = False
    tools: Sequence[Mapping[str, Any]] | None = None
    documents: Sequence[Mapping[str, Any]] | None = None
    variables: Mapping[str, Any] | None = None  # chat_template_kwargs


class ChatTemplate:
    """A compiled template and what kind of content it understands, found by rendering two probes."""

    def __init__(self, source: str, special_tokens: Mapping[str, Any], tool_source: str | None = None) -> None:
        """`tool_source` is the template for requests with tools, where the model has one of its own.

        Raises: TokenizerError when a template does not compile.
        """
        try:
            self._template = environment().from_string(source)
            self._tool_template = environment().from_string(tool_source) if tool_source else self._template
            trees = [environment().parse(text) for text in (source, tool_source or "")]
        except jinja2.TemplateSyntaxError as error:
            raise TokenizerError(f"the chat template has a syntax error in line {error.lineno}: {error}") from error
        self._names = frozenset().union(*map(_names_in, trees))
        self._words = frozenset().union(*map(_words_in, trees))
        self._special_tokens = dict(special_tokens)
        self.takes_lists = self._understands([{"type": "text", "text": PROBE}])
        self.takes_strings = not self.takes_lists or self._understands(PROBE)

    @classmethod
    def load(
        cls, directory: Path, settings: Mapping[str, Any], special_tokens: Mapping[str, Any]
    ) -> ChatTemplate | None:
        """The template of a model directory; None where it has none. Raises: TokenizerError."""
        found = find_templates(directory, settings)
        source = found.get("default") or next(iter(found.values()), None)
        return cls(source, special_tokens, found.get("tool_use")) if source else None

    def render(self, turns: Sequence[Turn], options: TemplateOptions, image_placeholder: str | None = None) -> str:
        """The prompt's text, each image standing as the template writes it.

        `image_placeholder` stands for an image in a template that takes only strings.

        Raises: BadRequest with the template's own message when it refuses the messages, or when it would drop what the
        request brings.
        """
        self._check(options)
        self._check_turns(turns)
        messages = [self._message(turn, image_placeholder) for turn in turns]
        if options.continue_final_message:
            if options.add_generation_prompt:
                raise BadRequest(
                    "continue_final_message goes with add_generation_prompt=false only", "continue_final_message"
                )
            messages[-1] = _marked(messages[-1])
        template = self._tool_template if options.tools else self._template
        variables = {
            **self._special_tokens,
            "tools": list(options.tools) if options.tools else None,
            "documents": list(options.documents) if options.documents else None,
            "add_generation_prompt": options.add_generation_prompt,
            **(options.variables or {}),
            "messages": messages,
        }
        try:
            text = template.render(variables)
        except jinja2.TemplateError as error:
            raise BadRequest(f"the model's chat template refuses these messages: {error}", "messages") from error
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError) as error:
            raise BadRequest(f"the model's chat template fails on these messages: {error}", "messages") from error
        except RecursionError as error:
            raise BadRequest("messages or tools are nested too deeply to render", "messages") from error
        return _cut_at_mark(text) if options.continue_final_message else text

    def _check(self, options: TemplateOptions) -> None:
        """Tools or documents that the template does not write would never reach the model."""
        if options.tools and "tools" not in self._names:
            raise BadRequest(
                "the model's chat template has no place for tools, so the model would not learn of them; leave tools "
                "out, describe them in a message, or send tool_choice='none'",
                "tools",
                "unsupported",
            )
        if options.documents and "documents" not in self._names:
            raise BadRequest(
                "the model's chat template has no place for documents, so the model would not see them; leave them "
                "out, or put their text into a message",
                "documents",
                "unsupported",
            )

    def _check_turns(self, turns: Sequence[Turn]) -> None:
        """A role that nobody knows is misspelt, and calls that are not written would never reach the model."""
        for index, turn in enumerate(turns):
            role = turn.fields["role"]
            if role not in ROLES and role not in self._words:
                known = ", ".join(sorted(ROLES))
                name = f"messages[{index}].role"
                raise BadRequest(f"{name} is {role[:100]!r}, which the model does not know; use one of {known}", name)
            if turn.fields.get("tool_calls") and "tool_calls" not in self._words:
                name = f"messages[{index}].tool_calls"
                raise BadRequest(
                    f"the model's chat template has no place for {name}, so the model would not see them; leave them "
                    "out, or put them into a message",
                    name,
                    "unsupported",
                )

    def _message(self, turn: Turn, image_placeholder: str | None) -> dict[str, Any]:
        content = turn.content
        if isinstance(content, str) and not self.takes_strings:
            return {**turn.fields, "content": [{"type": "text", "text": content}]}
        if content is None or isinstance(content, str):
            return {**turn.fields, "content": content}
        if self.takes_lists:
            return {**turn.fields, "content": [_listed(part) for part in content]}
        texts = [part.text if isinstance(part, TextPart) else image_placeholder or "" for part in content]
        return {**turn.fields, "content": "\n".join(texts)}

    def _understands(self, content: Any) -> bool:
        """Whether a user's message with this content comes out as text, not lost and not as Python's repr."""
        variables = {"messages": [{"role": "user", "content": content}], "add_generation_prompt": True}
        try:
            text = self._template.render({**self._special_tokens, "tools": None, "documents": None, **variables})
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError):
            return False
        return PROBE in text and "'type'" not in text and '"type"' not in text


def find_templates(directory: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Templates by name (`default`, `tool_use`, …) from wherever the model's files keep them.

    Raises: TokenizerError.
    """
    found = _named(settings.get("chat_template"))
    found |= _named(read_json(directory / "chat_template.json").get("chat_template"))
    files = sorted((directory / "additional_chat_templates").glob("*.jinja"))
    for name, path in [*((path.stem, path) for path in files), ("default", directory / "chat_template.jinja")]:
        if path.is_file():
            try:
                found[name] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise TokenizerError(f"cannot read the chat template {path}: {error}") from error
    return found


def _names_in(tree: nodes.Template) -> set[str]:
    """Every variable that a template mentions."""
    return {name.name for name in tree.find_all(nodes.Name)}


def _words_in(tree: nodes.Template) -> set[str]:
    """Every text and every attribute that a template compares with or asks for."""
    texts = {const.value for const in tree.find_all(nodes.Const) if isinstance(const.value, str)}
    return texts | {get.attr for get in tree.find_all(nodes.Getattr)}


def _named(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        return {"default": value}
    if isinstance(value, list):
        return {entry["name"]: entry["template"] for entry in value}
    return dict(value) if isinstance(value, dict) else {}


def _listed(part: Part) -> dict[str, str]:
    return {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": "image"}


def _marked(message: dict[str, Any]) -> dict[str, Any]:
    """The last message with a mark after its last text, so that the rendered prompt can be cut there."""
    content = message.get("content")
    if isinstance(content, str):
        return message | {"content": content + CONTINUE_MARK}
    parts: list[dict[str, str]] = content if isinstance(content, list) else []
    for index in reversed(range(len(parts))):
        if "text" in parts[index]:
            marked = parts[index] | {"text": parts[index]["text"] + CONTINUE_MARK}
            return message | {"content": [*parts[:index], marked, *parts[index + 1 :]]}
    raise BadRequest("continue_final_message needs text in the last message", "continue_final_message")


def _cut_at_mark(text: str) -> str:
    place = text.rfind(CONTINUE_MARK.strip())
    if place < 0:
        raise BadRequest("the model's chat template drops the last message, so it cannot be continued",
                         "continue_final_message")  # fmt: skip
    kept = text[:place]
    return kept if text.startswith(CONTINUE_MARK, place) else kept.rstrip()
