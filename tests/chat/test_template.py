"""Rendering is transformers' rendering."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import models

from upright.chat.conversation import read_conversation
from upright.chat.errors import BadRequest, TokenizerError
from upright.chat.template import ChatTemplate, TemplateOptions, find_templates
from upright.chat.tokenizer import Tokenizer

STRINGS_ONLY = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}<s>system\nBe kind.</s>\n"
    "{% endif %}{{'<s>' + message['role'] + '\n' + message['content'] + '</s>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"
)
LISTS_ONLY = (
    "{{ bos_token }}{% for message in messages %}[{{ message.role }}]"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% else %}<image>{% endif %}"
    "{% endfor %}{% endfor %}"
)
TOOLS = (
    "{%- for tool in tools or [] %}\n    {{ tool | tojson(indent=1) }}\n{% endfor -%}\n"
    "{% for message in messages %}\n  {% if message.role == 'stop' %}{% break %}{% endif %}\n"
    "{%- generation %}{{ message.content | trim }}{% endgeneration %}{{ eos_token }}\n{% endfor %}"
    "{% if thinking is defined %}{{ thinking }}{% endif %}"
)
CHAT = [
    {"role": "system", "content": "Sei höflich."},
    {"role": "user", "content": "Hi <b>you</b> & 不倒翁"},
    {"role": "assistant", "content": "Hello! "},
    {"role": "user", "content": " Bye"},
]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "<é & 雨>", "parameters": {"type": "object"}},
}


def make_directory(path: Path, template: str | None, **settings: Any) -> Path:
    path.mkdir(exist_ok=True)
    inner = tokenizers.Tokenizer(models.BPE({"a": 0, "<s>": 1, "</s>": 2}, []))
    inner.save(str(path / "tokenizer.json"))
    known = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"} | settings
    (path / "tokenizer_config.json").write_text(json.dumps(known))
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    return path


@functools.cache
def transformers_tokenizer(directory: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(directory)


def load(directory: Path) -> ChatTemplate:
    tokenizer = Tokenizer.load(directory)
    template = ChatTemplate.load(directory, tokenizer.settings, tokenizer.special_tokens)
    assert template is not None
    return template


OPTIONS: list[dict[str, Any]] = [
    {"add_generation_prompt": True},
    {"add_generation_prompt": False},
    {"add_generation_prompt": True, "tools": [WEATHER]},
    {"add_generation_prompt": False, "continue_final_message": True},
    {"add_generation_prompt": True, "thinking": "none"},
]


@pytest.mark.parametrize(
    ("template", "options"),
    [
        (template, options)
        for template in ("qwen", STRINGS_ONLY, TOOLS)
        for options in OPTIONS
        if "tools" not in options or template != STRINGS_ONLY  # which has no place for them
    ],
)
def test_equal_to_transformers(qwen_tokenizer: Path, tmp_path: Path, template: str, options: dict[str, Any]) -> None:
    directory = qwen_tokenizer if template == "qwen" else make_directory(tmp_path / "model", template)
    reference = transformers_tokenizer(directory)
    known = ("add_generation_prompt", "continue_final_message", "tools")
    ours = TemplateOptions(
        **{name: value for name, value in options.items() if name in known},
        variables={name: value for name, value in options.items() if name not in known},
    )
    messages = CHAT[:-1] if options.get("continue_final_message") else CHAT
    expected = reference.apply_chat_template(messages, tokenize=False, **options)
    assert load(directory).render(read_conversation(messages), ours) == expected


def test_images_equal_to_transformers(qwen_tokenizer: Path) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}, {"type": "image"}]
    sent = [part if part["type"] == "text" else {"type": "image_url", "image_url": {"url": "data:,"}} for part in parts]
    reference = transformers_tokenizer(qwen_tokenizer)
    expected = reference.apply_chat_template(
        [*CHAT, {"role": "user", "content": parts}], tokenize=False, add_generation_prompt=True
    )
    turns = read_conversation([*CHAT, {"role": "user", "content": sent}])
    assert load(qwen_tokenizer).render(turns, TemplateOptions()) == expected


def test_tool_call_arguments_become_objects(qwen_tokenizer: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    turns = read_conversation([CHAT[1], {"role": "assistant", "content": None, "tool_calls": [call]}])
    assert '{"name": "weather", "arguments": {"city": "Köln"}}' in load(qwen_tokenizer).render(turns, TemplateOptions())


def test_lists_are_joined_for_templates_that_take_strings() -> None:
    template = ChatTemplate(STRINGS_ONLY, {})
    assert (template.takes_strings, template.takes_lists) == (True, False)
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    text = template.render(read_conversation([{"role": "user", "content": parts}]), TemplateOptions())
    assert "<s>user\na\nb</s>" in text


def test_strings_are_wrapped_for_templates_that_take_lists() -> None:
    template = ChatTemplate(LISTS_ONLY, {"bos_token": "^"})
    assert (template.takes_strings, template.takes_lists) == (False, True)
    assert template.render(read_conversation(CHAT[1:2]), TemplateOptions()) == "^[user]Hi <b>you</b> & 不倒翁"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].no.such }}", "no"),
        ("{{ messages[0].content + 5 }}", "template"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "immutable|unsafe|safely"),
        ("{{ 1 // 0 }}", "template"),
    ],
)
def test_what_a_template_refuses_is_told(source: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        ChatTemplate(source, {}).render(read_conversation(CHAT), TemplateOptions())


def test_a_client_s_text_is_never_a_template() -> None:
    turns = read_conversation([{"role": "user", "content": "{{ 6 * 7 }}{% raw %}"}])
    assert "{{ 6 * 7 }}{% raw %}" in ChatTemplate(STRINGS_ONLY, {}).render(turns, TemplateOptions())


def test_variables_do_not_replace_the_messages() -> None:
    options = TemplateOptions(variables={"messages": [], "bos_token": "!"})
    assert ChatTemplate(LISTS_ONLY, {}).render(read_conversation(CHAT[:1]), options) == "![system]Sei höflich."


def test_continuing_goes_without_a_generation_prompt_only() -> None:
    with pytest.raises(BadRequest, match="add_generation_prompt"):
        ChatTemplate(STRINGS_ONLY, {}).render(read_conversation(CHAT), TemplateOptions(continue_final_message=True))


def test_where_templates_are_found(tmp_path: Path) -> None:
    assert find_templates(tmp_path, {}) == {}
    named = [{"name": "default", "template": "one"}, {"name": "tool_use", "template": "two"}]
    assert find_templates(tmp_path, {"chat_template": named}) == {"default": "one", "tool_use": "two"}
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "three"}))
    assert find_templates(tmp_path, {"chat_template": "one"}) == {"default": "three"}
    (tmp_path / "chat_template.jinja").write_text("four")
    assert find_templates(tmp_path, {"chat_template": "one"}) == {"default": "four"}


def test_the_template_for_tools(tmp_path: Path) -> None:
    template = ChatTemplate("plain", {}, tool_source="{{ tools | length }} tools")
    assert template.render(read_conversation(CHAT), TemplateOptions()) == "plain"
    assert template.render(read_conversation(CHAT), TemplateOptions(tools=[WEATHER])) == "1 tools"


@pytest.mark.parametrize("name", ["tools", "documents"])
def test_what_a_template_would_drop_is_refused(name: str) -> None:
    given = TemplateOptions(**{name: [WEATHER]})
    with pytest.raises(BadRequest, match=f"no place for {name}") as refusal:
        ChatTemplate(STRINGS_ONLY, {}).render(read_conversation(CHAT), given)
    assert refusal.value.param == name
    used = ChatTemplate(STRINGS_ONLY + "{% if " + name + " is defined and " + name + " %}seen{% endif %}", {})
    assert used.render(read_conversation(CHAT), given).endswith("seen")
    nothing = TemplateOptions(**{name: []})
    assert "seen" not in used.render(read_conversation(CHAT), nothing)
    assert ChatTemplate(STRINGS_ONLY, {}).render(read_conversation(CHAT), nothing)


def test_a_template_that_does_not_compile() -> None:
    with pytest.raises(TokenizerError, match="line 2"):
        ChatTemplate("a\n{% if %}", {})


def test_a_directory_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_special_tokens_that_only_the_config_names(tmp_path: Path) -> None:
    added = {"3": {"content": "<extra>", "special": True}, "4": {"content": "<plain>", "special": False}}
    directory = make_directory(tmp_path / "m", None, eos_token={"content": "</s>"}, added_tokens_decoder=added)
    tokenizer = Tokenizer.load(directory)
    assert {tokenizer.id_of(token) for token in ("<s>", "</s>", "<extra>")} == tokenizer.special_ids == {1, 2, 3}
    assert tokenizer.id_of("<plain>") == 4
    assert tokenizer.special_tokens["eos_token"] == "</s>"


def test_files_that_contradict_each_other(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "m", None, added_tokens_decoder={"9": {"content": "<x>", "special": True}})
    with pytest.raises(TokenizerError, match="do not belong together"):
        Tokenizer.load(directory)


CALLING = [
    CHAT[1],
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
]


def test_calls_that_a_template_would_drop_are_refused() -> None:
    turns = read_conversation(CALLING)
    with pytest.raises(BadRequest, match=r"no place for messages\[1\]\.tool_calls"):
        ChatTemplate(STRINGS_ONLY, {}).render(turns, TemplateOptions())
    writing = STRINGS_ONLY.replace("message['content']", "message['content'] + message['tool_calls'] | string")
    assert "'name': 'f'" in ChatTemplate(writing, {}).render(turns[1:], TemplateOptions())


def test_roles_are_those_that_all_models_have_and_the_template_s_own() -> None:
    turns = read_conversation([{"role": "judge", "content": "x"}])
    with pytest.raises(BadRequest, match="'judge', which the model does not know; use one of assistant, developer"):
        ChatTemplate(STRINGS_ONLY, {}).render(turns, TemplateOptions())
    own = "{% if messages[0]['role'] == 'judge' %}J{% endif %}" + STRINGS_ONLY
    assert ChatTemplate(own, {}).render(turns, TemplateOptions()).startswith("J")
