"""Between the death of an engine and the service of the next: what clients are told, and what becomes of them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from running import CONTEXT, Clients, RunningServer, eventually

LONG = 4000  # tokens; never finished within these tests
MANY = 300  # tokens; not finished before the test has done the next thing


@pytest.fixture(scope="module", autouse=True)
def doomed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose model has gone since it began to serve. It tries for a minute, in which the other tests run."""
    directory = tmp_path_factory.mktemp("doomed")
    copy = directory / "model"
    copy.mkdir()
    for file in model.iterdir():
        (copy / file.name).symlink_to(file)
    running = RunningServer(copy, directory, "--max-model-len", str(CONTEXT), "--no-standby")
    try:
        running.wait_until_ready()
        (copy / "model.safetensors").unlink()
        engine = running.engine_pid
        assert engine is not None
        os.kill(engine, signal.SIGKILL)
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def shared_mortal(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    options = ("--max-model-len", str(CONTEXT), "--max-num-seqs", "2", "--max-queue", "2")
    running = RunningServer(model, tmp_path_factory.mktemp("mortal"), *options, faults=True)
    try:
        yield running.wait_until_ready()
    finally:
        running.end()


@pytest.fixture
def mortal(shared_mortal: RunningServer) -> RunningServer:
    eventually(lambda: shared_mortal.health() == 200, "it serves again after the test before")
    eventually(shared_mortal.is_idle, "nothing of the test before is left")
    return shared_mortal


def test_who_comes_during_a_recovery_waits_and_is_served(mortal: RunningServer) -> None:
    alone = mortal.complete(24)
    before = mortal.status()
    assert (before["state"], before["reason"], before["retry_after"]) == ("ready", "", None)
    with Clients(mortal) as clients:
        running = clients.stream(mortal.completion(MANY))
        mortal.break_engine()

        assert mortal.http.get("/live").status_code == 200
        health = mortal.http.get("/health")
        assert health.status_code == 503
        told = health.json()
        assert (told["state"], told["reason"]) == ("recovering", "the engine has ended and another is starting")
        assert int(health.headers["retry-after"]) == told["retry_after"] >= 1
        status = mortal.status()
        assert status["state"] == "recovering"
        assert [engine["state"] for engine in status["engines"]] == ["loading"]
        assert status["deaths"] == before["deaths"] + 1
        assert status["last_death"]["incident"] in {path.stem for path in (mortal.state / "incidents").iterdir()}
        assert mortal.metrics()["engine_ready"] == 0

        waiting = [clients.post(mortal.completion(24)) for _ in range(3)]
        eventually(lambda: mortal.status()["in_flight"] == 4, "all of them wait")
        turned_away = mortal.http.post("/v1/completions", json=mortal.completion(4))
        assert turned_away.status_code == 429
        assert int(turned_away.headers["retry-after"]) >= 1

        mortal.mend_engine()

        assert [one.result().json()["choices"][0]["text"] for one in waiting] == [alone] * 3
        assert running.result().done
        assert running.result().text.startswith(alone)
    assert mortal.health() == 200
    after = mortal.status()
    assert after["state"] == "ready"
    assert after["deaths"] == before["deaths"] + 2
    assert after["recoveries"] == before["recoveries"] + 1
    assert after["recovery_seconds"] > before["recovery_seconds"]
    assert after["replays"] == before["replays"] + 1, "only one had been with an engine before"


def test_a_client_that_leaves_during_a_recovery(mortal: RunningServer) -> None:
    mortal.break_engine()
    body = json.dumps(mortal.completion(LONG)).encode()
    address = urlsplit(mortal.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        eventually(lambda: mortal.status()["in_flight"] == 1, "the request waits")
    eventually(lambda: mortal.status()["in_flight"] == 0, "the request is gone with its client")
    mortal.mend_engine()
    eventually(lambda: mortal.health() == 200, "another engine serves")
    assert mortal.complete(4)
    eventually(mortal.is_idle, "nothing is left of it")


def test_a_recovery_does_not_lengthen_the_time_of_a_request(start: Callable[..., RunningServer]) -> None:
    server = start("--no-standby", "--request-timeout", "3", faults=True).wait_until_ready()
    with Clients(server) as clients:
        stream = clients.stream(server.completion(LONG))
        server.break_engine()
        plain = clients.post(server.completion(LONG))
        unstarted = clients.post(server.completion(LONG, stream=True))

        assert not stream.result().done
        assert stream.result().error is not None
        assert stream.result().error["code"] == "timeout"
        for late in (plain, unstarted):
            assert late.result().status_code == 504
            assert "--request-timeout" in late.result().json()["error"]["message"]
    eventually(lambda: server.status()["in_flight"] == 0, "nothing waits for the next engine")
    server.mend_engine()
    eventually(lambda: server.health() == 200, "another engine serves")
    assert server.complete(4)
    eventually(server.is_idle, "nothing is left of them")


def test_a_stop_in_the_middle_of_a_recovery_finishes_what_is_in_flight(start: Callable[..., RunningServer]) -> None:
    server = start("--no-standby", "--drain-timeout", "1000", faults=True).wait_until_ready()
    alone = server.complete(40)
    with Clients(server) as clients:
        stream = clients.stream(server.completion(MANY))
        server.break_engine()
        plain = clients.post(server.completion(40))
        eventually(lambda: server.status()["in_flight"] == 2, "both wait")
        server.signal(signal.SIGTERM)
        eventually(lambda: server.status()["state"] == "draining", "the server drains")
        assert server.http.post("/v1/completions", json=server.completion(4)).status_code == 503
        server.mend_engine()
        assert stream.result().done
        assert stream.result().text.startswith(alone)
        assert plain.result().json()["choices"][0]["text"] == alone
    assert server.wait() == 0
    assert server.left_behind() == []


def test_a_stop_at_once_in_the_middle_of_a_recovery(start: Callable[..., RunningServer]) -> None:
    server = start("--no-standby", faults=True).wait_until_ready()
    with Clients(server) as clients:
        stream = clients.stream(server.completion(LONG))
        server.break_engine()
        server.signal(signal.SIGTERM)
        eventually(lambda: server.status()["state"] == "draining", "the server drains")
        server.signal(signal.SIGTERM)
        assert stream.result().error is not None
    assert server.wait() == 0
    assert server.left_behind() == []


def test_crashes_that_no_request_explains_lead_to_a_safer_rung(start: Callable[..., RunningServer]) -> None:
    """It is remembered for the next start, until told to forget."""
    server = start("--max-num-seqs", "8", faults=True).wait_until_ready()
    for number in range(3):
        assert server.status()["rung"] == 0
        server.ask_for("step-raise")
        assert server.complete(30, prompt=f"Story {number}:")
    assert server.status()["rung_name"] == "small steps"
    assert server.metrics()["rung"] == 1
    assert server.metrics()["engine_deaths_total"] == 3

    # Starts that fail lead further down; the third one serves.
    engine = server.engine_pid
    assert engine is not None
    server.ask_for("load-exit")
    server.ask_for("load-segv")
    os.kill(engine, signal.SIGKILL)
    assert server.complete(8)
    assert server.status()["deaths"] == 6
    assert server.status()["rung_name"] == "no compiled kernels"
    server.signal(signal.SIGTERM)
    assert server.wait() == 0

    for options, rung in ((("--no-standby",), 2), (("--no-standby", "--forget"), 0)):
        again = start("--max-num-seqs", "8", *options, faults=True, after=server).wait_until_ready()
        assert again.status()["rung"] == rung
        assert ("starting on rung 'no compiled kernels'" in again.log) == (rung > 0)
        assert ("no compiled kernels" in (again.state / "rungs.json").read_text()) == (rung > 0)
        again.signal(signal.SIGTERM)
        assert again.wait() == 0


def test_a_server_whose_engines_cannot_start_any_more_says_so(doomed: RunningServer) -> None:
    """It stays up and tells why: what cannot be had now may be had after somebody has done something."""
    eventually(lambda: doomed.status()["state"] == "failed", "it gives up")
    assert doomed.http.get("/live").status_code == 200
    health = doomed.http.get("/health")
    assert health.status_code == 503
    assert health.json()["state"] == "failed"
    assert "model.safetensors" in health.json()["reason"] or "holds no weights" in health.json()["reason"]
    assert int(health.headers["retry-after"]) >= 1
    status = doomed.status()
    assert status["engines"] == []
    assert status["deaths"] <= 16, "a bounded number of starts"
    answer = doomed.http.post("/v1/completions", json=doomed.completion(4))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    doomed.signal(signal.SIGTERM)
    assert doomed.wait() == 0
    assert doomed.left_behind() == []
