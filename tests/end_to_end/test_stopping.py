"""The end as an operator asks for it: what runs is finished, nothing new begins, nothing is left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import Clients, RunningServer, eventually

from tests.plan import stand_in_hub

LONG = 4000  # tokens; never finished within these tests
MANY = 200  # tokens; not finished before the test has done the next thing


@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True)], ids=["TERM", "ctrl-c"])
def test_requests_in_flight_are_finished(
    start: Callable[..., RunningServer], number: signal.Signals, group: bool
) -> None:
    server = start("--no-standby", "--drain-timeout", "1000").wait_until_ready()
    alone = server.complete(8)
    with Clients(server) as clients:
        stream = clients.stream(server.completion(MANY))
        plain = clients.post(server.completion(MANY))
        eventually(lambda: server.metrics()["num_requests_running"] == 2, "both run")

        server.signal(number, group)

        eventually(lambda: server.health() == 503, "the server drains")
        turned_away = server.http.post("/v1/completions", json=server.completion(4))
        assert turned_away.status_code == 503
        assert int(turned_away.headers["retry-after"]) >= 1
        assert "shutting down" in turned_away.json()["error"]["message"]
        assert stream.result().done
        assert stream.result().text.startswith(alone)
        assert plain.result().json()["choices"][0]["text"] == stream.result().text
    assert server.wait() == 0
    assert server.left_behind() == []
    assert f"{number.name}: draining" in server.log
    assert "Traceback" not in server.log
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/live")


def test_a_second_signal_stops_at_once(start: Callable[..., RunningServer]) -> None:
    server = start("--no-standby", "--drain-timeout", "1000").wait_until_ready()
    with Clients(server) as clients:
        stream = clients.stream(server.completion(LONG))
        server.signal(signal.SIGTERM)
        eventually(lambda: server.health() == 503, "the server drains")
        server.signal(signal.SIGTERM)
        assert not stream.result().done
        assert stream.result().error is not None
        assert "shutting down" in stream.result().error["message"]
    assert server.wait() == 0
    assert server.left_behind() == []


def test_a_drain_that_takes_too_long_is_cut(start: Callable[..., RunningServer]) -> None:
    server = start("--no-standby", "--drain-timeout", "0.2").wait_until_ready()
    with Clients(server) as clients:
        stream = clients.stream(server.completion(LONG))
        plain = clients.post(server.completion(LONG))
        eventually(lambda: server.metrics()["num_requests_running"] == 2, "both run")
        server.signal(signal.SIGTERM)
        assert not stream.result().done
        assert stream.result().error is not None
        assert plain.result().status_code == 503
    assert server.wait() == 0
    assert server.left_behind() == []
    assert "2 requests did not finish" in server.log


def test_a_stop_while_the_model_loads(start: Callable[..., RunningServer]) -> None:
    server = start("--no-standby")
    eventually(lambda: "starting the engine" in server.log, "the engine is being started")
    server.signal(signal.SIGINT, group=True)
    assert server.wait() == 0
    assert server.left_behind() == []
    assert "Traceback" not in server.log
    assert " is ready" not in server.log


def test_a_stop_while_the_model_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even while the hub keeps silent in the middle of a file."""
    over = threading.Event()
    whole_file = stand_in_hub.Handler.file

    def half_a_file(handler: Any, identity: str, revision: str, path: str) -> None:
        if path == "model.safetensors" and handler.command == "GET":
            handler.send_response(200)
            handler.send_header("ETag", '"1"')
            handler.send_header("X-Repo-Commit", revision)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(bytes(500))
            over.wait()
            handler.close_connection = True
        else:
            whole_file(handler, identity, revision, path)

    monkeypatch.setattr(stand_in_hub.Handler, "file", half_a_file)
    commit = "1" * 40
    files = {"config.json": b"{}", "model.safetensors": bytes(1000)}
    repository = stand_in_hub.Repository({"main": commit, commit: commit}, {commit: files})
    with stand_in_hub.StandInHub({"owner/model": repository}) as hub:
        server = RunningServer(
            Path("owner/model"), tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "hub"), HF_HUB_OFFLINE="0"
        )
        try:
            eventually(lambda: hub.downloads("model.safetensors"), "the weights are being downloaded")
            server.signal(signal.SIGINT, group=True)
            assert server.wait() == 0
            assert server.left_behind() == []
            assert "Traceback" not in server.log
            assert "what has been downloaded is kept" in server.log
        finally:
            over.set()
            server.end()
