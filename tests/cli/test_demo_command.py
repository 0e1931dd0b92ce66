"""The demo against a server that runs: what it asks for, what it says, and what is out of place."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.stand_in_server import Answer, StandIn, standing_in
from upright import reader
from upright.cli.commands import app
from upright.cli.demo.pasting import curl_command, python_lines

LAYOUT = "<|box_start|>100 50 900 100<|box_end|><|ref_start|>title<|ref_end|><|rotate_up|><|im_end|>"
SAID = {"\nLayout Detection:": LAYOUT, "\nText Recognition:": "A title"}


def said(body: dict[str, Any]) -> Answer:
    content = SAID.get(question(body), "1.00")
    return 200, {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}


def question(body: dict[str, Any]) -> str:
    asked: str = body["messages"][-1]["content"][-1]["text"]
    return asked


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with standing_in(said) as server:
        yield server


def test_a_page_is_read_and_a_question_asked(stand_in: StandIn) -> None:
    url = stand_in.url

    result = CliRunner().invoke(app, ["demo", "--url", f"{url}/v1"])

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert list(map(question, stand_in.asked)) == ["\nLayout Detection:", "\nText Recognition:", "What is the total?"]
    assert " s, 1 block:\n\n# A title\n" in result.stdout
    assert "\nWhat is the total?\n1.00\n" in result.stdout
    assert f"\ncurl {url}/v1/chat/completions " in result.stdout
    assert f"base_url='{url}/v1'" in result.stdout
    assert f" parse PICTURE --url {url}\n" in result.stdout


def test_a_key_is_sent_and_not_shown(stand_in: StandIn) -> None:
    result = CliRunner().invoke(app, ["demo", "--url", stand_in.url, "--api-key", "secret,another"])

    assert stand_in.keys and stand_in.chat_keys
    assert {*stand_in.keys, *stand_in.chat_keys} == {"Bearer secret"}
    assert "secret" not in result.output
    assert "Authorization: Bearer YOUR KEY" in result.stdout
    assert " --api-key 'YOUR KEY'" in result.stdout


def test_options_for_a_server_that_is_not_started_are_refused() -> None:
    result = CliRunner().invoke(app, ["demo", "m", "--url", "http://127.0.0.1:9", "--port", "1"])
    assert result.exit_code == 2
    assert result.stderr.startswith("upright: MODEL, --port: with --url no server is started")


@pytest.mark.parametrize(
    ("url", "told"), [("http://127.0.0.1:99999", "ports end at 65535"), ("http://h:x", "is no address")]
)
def test_what_is_no_address_is_told(url: str, told: str) -> None:
    result = CliRunner().invoke(app, ["demo", "--url", url])
    assert result.exit_code == 1
    assert told in result.stderr


@pytest.mark.parametrize("more", [[], ["--url", "http://127.0.0.1:9"]])
def test_a_demo_without_its_pictures_does_not_begin(
    more: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reader, "RECEIPT", tmp_path / "receipt.png")
    result = CliRunner().invoke(app, ["demo", *more])
    assert result.exit_code == 1
    assert "lacks receipt.png, which the demo shows" in result.stderr


def test_a_server_that_is_not_there_is_told() -> None:
    result = CliRunner().invoke(app, ["demo", "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert result.stderr.startswith("upright: http://127.0.0.1:9 does not answer: ")


def test_what_is_to_be_pasted_holds_in_any_directory(tmp_path: Path) -> None:
    """With the shell's own reading of it, up to where curl would begin."""
    picture = tmp_path / "it's a picture.png"
    picture.write_bytes(reader.RECEIPT.read_bytes())
    question = 'What is "the" total?'
    command = curl_command("http://h", "m", picture, question)
    command = command.replace("curl ", ": ", 1).replace("-d @- <<END", "; cat <<END", 1)
    told = json.loads(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout)
    content = told["messages"][0]["content"]
    assert content[1]["text"] == question
    assert len(content[0]["image_url"]["url"]) > picture.stat().st_size
    compile(python_lines("http://h", "m", picture, question), "pasted", "exec")
