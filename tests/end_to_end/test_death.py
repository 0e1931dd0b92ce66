"""Engines and fronts that are really killed."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from running import Clients, RunningServer, eventually, processes

LONG = 300  # tokens; far more than an engine makes before it is killed


class Watch:
    """Asks for /live and /health without a pause while something happens."""

    def __init__(self, server: RunningServer) -> None:
        self.live: set[int] = set()
        self.health: list[int] = []
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.01):
            self.live.add(self._server.http.get("/live").status_code)
            self.health.append(self._server.health())


@pytest.fixture(scope="module")
def mortal(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose engines are killed again and again."""
    running = RunningServer(model, tmp_path_factory.mktemp("mortal"), "--max-model-len", "4096", "--max-num-seqs", "8")
    try:
        yield running.wait_until_ready()
    finally:
        running.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda number: number.name)
def test_an_engine_dies_with_requests_on_board(mortal: RunningServer, number: signal.Signals) -> None:
    answer = mortal.complete(LONG)
    engine, before = mortal.engine_pid, mortal.metrics()
    assert engine is not None
    with Watch(mortal) as watch, Clients(mortal) as clients:
        plain = [clients.post(mortal.completion(LONG)), clients.post(mortal.completion(LONG, n=2))]
        streams = [clients.stream(mortal.completion(LONG, n=n)) for n in (1, 1, 2)]
        eventually(lambda: mortal.metrics()["num_requests_running"] == 7, "all of them run")

        os.kill(engine, number)

        eventually(lambda: mortal.status()["deaths"] == before["engine_deaths_total"] + 1, "the death is noticed")
        late = mortal.http.post("/v1/completions", json=mortal.completion(4))
        assert late.status_code == 200, "who comes meanwhile waits"
        for stream in (future.result() for future in streams):
            assert (stream.status, stream.error, stream.done) == (200, None, True)
            assert set(stream.texts.values()) == {answer}
        for response in (future.result() for future in plain):
            assert {choice["text"] for choice in response.json()["choices"]} == {answer}
        eventually(lambda: watch.health[-1] == 200, "the watch has seen that another engine serves")

    assert watch.live == {200}
    assert set(watch.health) <= {200, 503}
    assert mortal.engine_pid not in (None, engine)
    after = mortal.metrics()
    assert after["engine_ready"] == 1
    for name in ("engine_deaths_total", "recoveries_total"):
        assert after[name] == before[name] + 1
    assert after["replayed_requests_total"] >= before["replayed_requests_total"] + 7
    assert after["recovered_tokens_total"] > before["recovered_tokens_total"]
    eventually(mortal.is_idle, "nothing is left of the requests")
    assert f"the engine has ended (killed by {number.name})" in mortal.log
    assert "an engine serves again" in mortal.log
    assert "Traceback" not in mortal.log


@pytest.mark.parametrize("stopped", [False, True], ids=["well", "stopped"])
def test_the_front_is_killed(start: Callable[..., RunningServer], stopped: bool) -> None:
    """Its engine and the process in reserve go with it, even an engine that a signal has stopped."""
    server = start().wait_until_ready()
    eventually(lambda: (server.status()["standby"] or {}).get("state") == "waiting", "a process is in reserve")
    assert len(processes(server.mark)) == 3
    engine = server.engine_pid
    assert engine is not None
    with Clients(server) as clients:
        cut = clients.post(server.completion(4000))
        eventually(lambda: server.metrics().get("num_requests_running") == 1, "the request runs")
        if stopped:
            os.kill(engine, signal.SIGSTOP)
        server.signal(signal.SIGKILL)
        assert cut.exception() is not None
    eventually(lambda: not processes(server.mark), "everything has gone with the front")
    assert server.wait() == -signal.SIGKILL
    assert server.left_behind() == []
    # Whoever starts the next server gets the port: the engine has not kept it open.
    address = urlsplit(server.url)
    with socket.create_server((str(address.hostname), address.port or 0)):
        pass


def test_what_a_front_leaves_that_is_killed_while_it_starts(start: Callable[..., RunningServer]) -> None:
    with tempfile.TemporaryDirectory() as short:  # enough for a socket's name
        server = start("--no-standby", TMPDIR=short)
        eventually(lambda: os.listdir(short), "the socket has a name")
        server.signal(signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL
        eventually(lambda: not processes(server.mark), "its engine has gone too")
        start("--no-standby", TMPDIR=short).wait_until_ready()
        assert os.listdir(short) == []
