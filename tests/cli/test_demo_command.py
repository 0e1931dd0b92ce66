"""The demo against a server that runs: what it asks for, what it says, and what is out of place."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.quiet_server import QuietServer
from upright import reader
from upright.cli.commands import app
from upright.cli.demo.pasting import curl_command, python_lines

SAID = {"\nText Recognition:": "A title", "\nTable Recognition:": "<fcel>a cell<nl>"}
BLOCKS = [one["type"] for one in json.loads(reader.SAMPLES.read_text())["page"]["blocks"]]


class Reader(BaseHTTPRequestHandler):
    asked: list[str]
    keys: set[str | None]

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "a-reader"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"][-1]["text"]
        self.asked.append(question)
        self._answer({"choices": [{"message": {"content": SAID.get(question, "1.00")}, "finish_reason": "stop"}]})

    def _answer(self, body: dict[str, Any]) -> None:
        self.keys.add(self.headers["Authorization"])
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture
def stand_in() -> Iterator[tuple[str, type[Reader]]]:
    class Own(Reader):
        asked: list[str] = []  # noqa: RUF012
        keys: set[str | None] = set()  # noqa: RUF012

    server = QuietServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Own
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_is_read_and_a_question_asked(stand_in: tuple[str, type[Reader]]) -> None:
    url, server = stand_in

    result = CliRunner().invoke(app, ["demo", "--url", f"{url}/v1"])

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    prompts = ["\nTable Recognition:" if kind == "table" else "\nText Recognition:" for kind in BLOCKS]
    assert sorted(server.asked) == sorted([*prompts, "What is the total?"])
    assert f" s, told where its {len(BLOCKS)} blocks are:\n\n# A title\n" in result.stdout
    assert "\nWhat is the total?\n1.00\n" in result.stdout
    assert f"\ncurl {url}/v1/chat/completions " in result.stdout
    assert f"base_url='{url}/v1'" in result.stdout


def test_a_key_is_sent_and_not_shown(stand_in: tuple[str, type[Reader]]) -> None:
    url, server = stand_in

    result = CliRunner().invoke(app, ["demo", "--url", url, "--api-key", "secret,another"])

    assert server.keys == {"Bearer secret"}
    assert "secret" not in result.output
    assert "Authorization: Bearer YOUR KEY" in result.stdout


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


def test_a_demo_without_its_pictures_does_not_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reader, "RECEIPT", tmp_path / "receipt.png")
    result = CliRunner().invoke(app, ["demo"])
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
