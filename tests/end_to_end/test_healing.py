"""The promise: an engine may die, no request may. Every answer is the one that an undisturbed server gives."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import CONTEXT, RunningServer, eventually
from workload import Crowd, mixed_requests

REQUESTS = 208
CLIENTS = 32
PATIENCE = "6"  # seconds; a tiny model's step takes a hundredth of that
KILLS: tuple[str | signal.Signals, ...] = (
    *[signal.SIGKILL] * 6, *[signal.SIGSEGV] * 3, *[signal.SIGABRT] * 2, signal.SIGSTOP, "step-raise", "step-raise",
    "step-memory", "step-close", "step-spin", "step-exit", "load-exit", "load-segv",
)  # fmt: skip


@pytest.fixture(scope="module")
def immortal(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    options = ("--max-model-len", str(CONTEXT), "--max-num-seqs", "16", "--hang-patience", PATIENCE)
    running = RunningServer(model, tmp_path_factory.mktemp("immortal"), *options, faults=True)
    try:
        yield running.wait_until_ready()
    finally:
        running.end()


class Killer:
    """Kills the engine in every way of KILLS, each time in the middle of work that the engine has just taken up."""

    def __init__(self, server: RunningServer) -> None:
        self.deaths = 0
        self._server = server
        self._dice = random.Random(20)

    def run(self) -> None:
        for way in self._dice.sample(KILLS, len(KILLS)):
            self._until_something_is_done()
            self._kill(way)

    def _until_something_is_done(self) -> None:
        """A new engine has worked on what was aboard of the last one, and nobody is suspected any more."""
        server, goal = self._server, self._dice.randrange(60, 120)

        def done() -> bool:
            status: dict[str, Any] = server.status()
            if status["state"] != "ready" or status["deaths"] != self.deaths or status["on_trial"]:
                return False
            return server.metrics().get("engine_decode_tokens_total", 0) > goal

        eventually(done, f"the engine goes on after death {self.deaths}")
        time.sleep(self._dice.random() * 0.05)  # anywhere in a step, or between two

    def _kill(self, way: str | signal.Signals) -> None:
        server = self._server
        engine = server.engine_pid
        assert engine is not None
        assert server.status()["in_flight"] > 0, "all requests have been answered before the last kill"
        self.deaths += 1
        if isinstance(way, str):
            server.ask_for(way)
        if isinstance(way, str) and way.startswith("load-"):  # one dies, and the next one while it loads
            self.deaths += 1
            way = signal.SIGKILL
        if isinstance(way, signal.Signals):
            os.kill(engine, way)
        eventually(lambda: server.status()["deaths"] == self.deaths, f"the engine dies of {way}")


def test_no_client_notices_that_engines_die(immortal: RunningServer) -> None:
    asked = mixed_requests(REQUESTS, seed=1)
    with Crowd(immortal, CLIENTS) as crowd:
        undisturbed = [future.result() for future in crowd.send_all(asked)]
        assert immortal.status()["deaths"] == 0

        killer = Killer(immortal)
        # Every other answer is streamed now, and has to be what it was in one piece.
        futures = crowd.send_all([one.streamed() if index % 2 else one for index, one in enumerate(asked)])
        killer.run()
        disturbed = [future.result() for future in futures]

    assert {answer.status for answer in undisturbed} == {200}
    for request, before, after in zip(asked, undisturbed, disturbed, strict=True):
        assert after.equals(before), (request, before, after)
    status = immortal.status()
    assert status["deaths"] == killer.deaths == len(KILLS) + 2
    assert status["state"] == "ready"
    assert status["rung"] > 0, "so many crashes that no request explains speak against the configuration"
    assert status["in_flight"] == status["on_trial"] == 0
    assert immortal.waiting_faults() == []
    eventually(immortal.is_idle, "nothing is left of the requests")
