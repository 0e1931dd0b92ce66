"""The command against a server that knows what stands on the page by the sizes of the pictures that it is sent."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.cli.stand_in_server import Answer, StandIn, standing_in
from upright.cli.commands import app

LAYOUT = (
    "<|box_start|>100 50 900 100<|box_end|><|ref_start|>doc_title<|ref_end|><|rotate_up|>\n"
    "<|box_start|>100 200 900 400<|box_end|><|ref_start|>text<|ref_end|><|rotate_up|>\n"
    "<|box_start|>100 500 900 900<|box_end|><|ref_start|>table<|ref_end|><|rotate_up|><|im_end|>"
)
DEADLINE = 30.0  # seconds
TABLE = "\nTable Recognition:"
READ = "# A title\n\nSome text\n\n| a | b |\n|---|---|\n"  # of that page


class Reader:
    """What the server says, and how."""

    ends = "stop"
    refused = ""
    served = 0  # tables, before one is refused

    def __call__(self, body: dict[str, Any]) -> Answer:
        picture, prompt = body["messages"][-1]["content"]
        size = Image.open(io.BytesIO(base64.b64decode(picture["image_url"]["url"].split(",")[1]))).size
        if self.refused and prompt["text"] == TABLE:
            self.served -= 1
            if self.served < 0:
                return 400, {"error": {"message": self.refused}}
        said = {
            ("\nLayout Detection:", (1036, 1036)): LAYOUT,
            ("\nText Recognition:", (404, 41)): "A title",
            ("\nText Recognition:", (404, 146)): "Some text",
            (TABLE, (404, 286)): "<fcel>a<fcel>b<nl>",
        }[prompt["text"], size]
        return 200, {"choices": [{"message": {"content": said}, "finish_reason": self.ends}]}


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def server(reader: Reader) -> Iterator[StandIn]:
    with standing_in(reader, id="a-reader") as server:
        yield server


@pytest.fixture
def page(tmp_path: Path) -> str:
    Image.new("RGB", (500, 700), "white").save(tmp_path / "page.png")
    return str(tmp_path / "page.png")


def test_a_page_is_laid_out_and_read(server: StandIn, page: str) -> None:
    result = CliRunner().invoke(app, ["parse", page, "--url", server.url])

    assert result.exit_code == 0, result.output
    assert result.stdout == READ
    assert result.stderr == ""
    assert [body["model"] for body in server.asked] == ["a-reader"] * 4
    assert {body["presence_penalty"] for body in server.asked} == {0.0, 1.0}
    assert all(body["skip_special_tokens"] is False and "max_tokens" not in body for body in server.asked)


def test_places_are_printed_as_json(server: StandIn, page: str) -> None:
    result = CliRunner().invoke(app, ["parse", page, page, "--url", server.url + "/v1", "--json"])

    pages = json.loads(result.stdout)
    assert [found["picture"] for found in pages] == [page, page]
    assert pages[1]["blocks"][1] == {"type": "text", "box": [100, 200, 900, 400], "angle": 0, "text": "Some text"}


def test_a_text_that_is_cut_off_is_told(reader: Reader, server: StandIn, page: str) -> None:
    reader.ends = "length"

    result = CliRunner().invoke(app, ["parse", page, "--url", server.url])

    assert "# A title" in result.stdout
    assert "the text of 3 blocks was cut off" in result.stderr


def test_what_the_server_says_is_told_in_one_line(reader: Reader, server: StandIn, page: str) -> None:
    reader.refused = "the image is too long"

    result = CliRunner().invoke(app, ["parse", page, "--url", server.url])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"upright: {server.url}/v1/chat/completions answers 400: the image is too long\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_pages_before_one_that_fails_are_not_lost(reader: Reader, server: StandIn, page: str, as_json: bool) -> None:
    reader.refused, reader.served = "the image is too long", 2

    result = CliRunner().invoke(app, ["parse", page, page, page, "--url", server.url, *["--json"] * as_json])

    assert result.exit_code == 1
    assert result.stderr.splitlines()[1:] == ["upright: pages read: 2 of 3"]
    if as_json:
        assert [found["blocks"][0]["text"] for found in json.loads(result.stdout)] == ["A title"] * 2
    else:
        assert result.stdout == f"{READ}\n{READ}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_pages_before_a_signal_are_not_lost(reader: Reader, page: str, number: signal.Signals) -> None:
    pages, under_way, over = count(), threading.Event(), threading.Event()

    def answer(body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["content"][1]["text"] == "\nLayout Detection:" and next(pages) == 1:
            under_way.set()
            over.wait(DEADLINE)
        return reader(body)

    with standing_in(answer, id="a-reader") as server:
        command = [sys.executable, "-m", "upright", "parse", page, page, page, "--url", server.url, "--json"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            assert under_way.wait(DEADLINE)
            process.send_signal(number)
            printed, told = process.communicate(timeout=DEADLINE)
        over.set()

    assert process.returncode == 128 + number
    assert [len(found["blocks"]) for found in json.loads(printed)] == [3]
    assert told == "upright: pages read: 1 of 3\n"


def test_a_picture_that_turns_out_to_be_damaged_costs_no_page_before_it(server: StandIn, page: str) -> None:
    damaged = Path(page).with_name("damaged.png")
    damaged.write_bytes(Path(page).read_bytes()[:100])

    result = CliRunner().invoke(app, ["parse", page, str(damaged), "--url", server.url])

    assert result.exit_code == 1
    assert result.stdout == READ
    assert f"{damaged} cannot be read" in result.stderr


def test_a_server_that_is_not_there_is_told(page: str) -> None:
    result = CliRunner().invoke(app, ["parse", page, "--url", "http://127.0.0.1:9"])

    assert result.exit_code == 1
    assert result.stderr.startswith("upright: http://127.0.0.1:9 does not answer: ")
    assert "--url" in result.stderr
