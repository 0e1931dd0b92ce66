"""`upright bench --http`, against a server that stands in for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in_server import DONE, Answer, standing_in
from typer.testing import CliRunner

from upright.cli.bench.http_loads import Outcome
from upright.cli.bench.loads import LOADS, chosen_loads, own_load, quickened
from upright.cli.bench.served_models import ServedModel, meant
from upright.cli.bench.tables import load_row
from upright.cli.commands import app
from upright.config import ConfigError

TEXT_ONLY = {"architecture": {"input_modalities": ["text"]}}
REFUSED = "tiny is not a [multimodal] model"


def bench(*arguments: str) -> tuple[int, str]:
    """Exit code, and what is told."""
    result = CliRunner().invoke(app, ["bench", *arguments])
    return result.exit_code, result.output


def no_images(body: dict[str, Any]) -> Answer:
    if len(body["messages"][0]["content"]) > 1:
        return 400, {"error": {"message": REFUSED}}
    return DONE


def test_names_of_loads_tell_what_is_sent() -> None:
    assert [load.name for load in LOADS] == [
        "1 text stream", "256 text streams, 64 at once", "512 text streams, 256 at once", "1 page, first token",
        "128 pages, 64 at once", "256 crops, 64 at once",
    ]  # fmt: skip
    quick = chosen_loads((), quick=True)
    assert [(load.name, load.requests, load.at_once, load.output) for load in quick] == [
        ("1 text stream", 1, 1, 64), ("128 text streams, 128 at once", 128, 128, 64), ("1 page, first token", 1, 1, 8),
        ("32 pages, 32 at once", 32, 32, 64), ("64 crops, 64 at once", 64, 64, 16),
    ]  # fmt: skip
    assert [load.name for load in chosen_loads(("256 text",), quick=True)] == ["64 text streams, 64 at once"]
    assert quickened(quickened(LOADS[2])).name == "32 text streams, 32 at once"
    assert own_load("page", 3).name == "3 pages, 3 at once"
    assert own_load("text", stream=False).name == "128 texts, 64 at once"
    assert own_load("crop", 1).name == "1 crop, 1 at once"


def test_which_model_is_asked_for() -> None:
    served = (ServedModel("one", "/models/one", None), ServedModel("two", "", True))
    assert [meant(served, wanted).name for wanted in ("", "one", "/models/one", "two")] == ["one", "one", "one", "two"]
    with pytest.raises(ConfigError, match="no model three, it serves one, two"):
        meant(served, "three")


def test_a_server_without_the_model_is_told_so() -> None:
    with standing_in() as server:
        code, told = bench("other", "--http", server.url)
    assert (code, server.asked) == (2, [])
    assert "no model other, it serves tiny" in told


def test_the_key_comes_from_where_options_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = ("--load", "text", "--requests", "1", "--max-tokens", "3")
    file = tmp_path / "file.yaml"
    file.write_text("api-key: from-the-file\nport: 1\n")
    with standing_in() as server:
        assert bench("--http", server.url, *load)[0] == 0
        assert bench("--http", server.url, *load, "--config", str(file))[0] == 0
        monkeypatch.setenv("UPRIGHT_API_KEY", "from-the-environment,another")
        assert bench("--http", server.url, *load)[0] == 0
        assert bench("--http", server.url, *load, "--api-key", "given")[0] == 0
    assert server.keys == [None, "Bearer from-the-file", "Bearer from-the-environment", "Bearer given"]


def test_a_model_without_eyes_is_sent_no_images(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with standing_in(**TEXT_ONLY) as server:
        code, told = bench("--http", server.url, "--only", "1 text,page", "--json", str(file))
        assert code == 0
        assert "the model takes no images: 1 page, first token; 128 pages, 64 at once" in told.splitlines()
        assert all(len(body["messages"][0]["content"]) == 1 for body in server.asked)
        found = json.loads(file.read_text())
        assert [row["load"] for row in found["rows"]] == ["1 text stream"]
        assert (found["complete"], list(found["skipped"])) == (True, ["1 page, first token", "128 pages, 64 at once"])
        code, told = bench("--http", server.url, "--load", "page")
        assert code == 1
        assert "takes no images, and nothing else was asked for" in told


def test_what_a_server_refuses_is_no_figure(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with standing_in(no_images) as server:
        code, told = bench("--http", server.url, "--only", "1 text,1 page", "--json", str(file))
    assert code == 0
    assert f"refused: HTTP 400: {REFUSED}" in told
    text, page = json.loads(file.read_text())["rows"]
    assert (text["finished"], text["refused"]) == (1, None)
    assert (page["finished"], page["refused"]) == (0, f"HTTP 400: {REFUSED}")
    assert page["seconds"] is page["requests_per_second"] is page["tokens_per_second"] is page["latency_ms_p50"] is None
    assert sum(len(body["messages"][0]["content"]) > 1 for body in server.asked) == 1, "after the first, none is sent"


def test_only_what_holds_for_every_request_is_a_refusal() -> None:
    def refused(outcome: Outcome) -> object:
        return load_row(LOADS[0], outcome)["refused"]

    assert refused(Outcome(errors={"HTTP 400: a": 1, "HTTP 400: b": 1})) == "HTTP 400: a"
    assert refused(Outcome(errors={"HTTP 422": 2})) == "HTTP 422"
    assert refused(Outcome(finished=1, errors={"HTTP 400": 1})) is None
    assert refused(Outcome(errors={"HTTP 400": 1, "HTTP 429": 1})) is None
    assert refused(Outcome()) is None
