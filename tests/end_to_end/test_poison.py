"""A request that kills every engine it meets fails alone, is told why, and does not get another chance soon."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from running import GUARD, UPRIGHT, RunningServer, eventually
from workload import Answer, Asked, Crowd, mixed_requests

INNOCENT = 14
MARKED = 149000  # a token that only culprits have in their prompt


def poison(*strikes: tuple[int, str]) -> bytes:
    """Each (token, what it does): from the third token of output on."""
    return json.dumps([{"token": token, "do": do, "at": 3} for token, do in strikes]).encode()


def culprit(token: int = MARKED, **more: Any) -> Asked:
    return Asked("/v1/completions", {"prompt": [1000, 2000, token], "max_tokens": 24, "temperature": 0} | more)


def incident_report(server: RunningServer, incident: str) -> dict[str, Any]:
    command = [UPRIGHT, "incidents", incident, "--json", "--state-dir", str(server.state)]
    shown = subprocess.run(command, capture_output=True, timeout=GUARD)
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def is_convicted(server: RunningServer, answer: Answer) -> bool:
    """It failed with 500, or with an error event where its stream had begun; the incident that it names is on file."""
    assert answer.error is not None, answer
    assert answer.error["code"] == "request_crashes_engine"
    assert not answer.whole or answer.status == 500
    incident = answer.error["message"].partition("incident ")[2].partition(".")[0]
    return bool(incident_report(server, incident)["id"] == incident)


class Trial:
    """A server with requests of every kind in flight, undisturbed first and then with culprits among them."""

    def __init__(self, server: RunningServer, innocent: int = INNOCENT, least: int = 24) -> None:
        self.server = server
        asked = mixed_requests(innocent, seed=2, least=least, most=least + 40)
        self.innocent = [one.streamed() if index % 2 else one for index, one in enumerate(asked)]
        with Crowd(server, innocent) as crowd:
            self.expected = [future.result() for future in crowd.send_all(self.innocent)]

    def among(self, *culprits: Asked) -> list[Answer]:
        """Their answers, when everybody else has been found unharmed."""
        half = len(self.innocent) // 2
        with Crowd(self.server, len(self.innocent) + len(culprits)) as crowd:
            before = crowd.send_all(self.innocent[:half])
            eventually(lambda: self.server.status()["in_flight"], "others are there first")
            guilty = crowd.send_all(list(culprits))
            after = crowd.send_all(self.innocent[half:])
            unharmed(before + after, self.expected)
            return [future.result(GUARD) for future in guilty]


def unharmed(futures: list[Future[Answer]], expected: list[Answer]) -> None:
    for future, answer in zip(futures, expected, strict=True):
        assert future.result(GUARD).equals(answer), (future.result(), answer)


@pytest.fixture
def mortal(request: pytest.FixtureRequest, start: Callable[..., RunningServer]) -> RunningServer:
    """A server; options of its own are the fixture's parameter."""
    return start("--max-num-seqs", "16", *getattr(request, "param", ()), faults=True).wait_until_ready()


def test_a_culprit_fails_alone_and_is_refused_from_then_on(mortal: RunningServer) -> None:
    trial, server = Trial(mortal), mortal
    server.ask_for("poison.json", poison((MARKED, "segv")))

    [answer] = trial.among(culprit())

    assert answer.status == 500
    assert is_convicted(server, answer)
    deaths = server.status()["deaths"]
    assert 3 <= deaths <= 8  # about 2 + log2 of what was aboard
    with Crowd(server, 1) as crowd:
        for again in (culprit(), culprit(seed=5), culprit().streamed()):
            refused = crowd.send(again).result()
            assert refused.status == 500
            assert is_convicted(server, refused)
    assert server.status()["deaths"] == deaths
    assert server.http.post("/v1/completions", json=culprit().body).headers["x-should-retry"] == "false"
    eventually(server.is_idle, "nothing is left of them")


def test_two_culprits_of_which_one_has_two_answers_to_give(mortal: RunningServer) -> None:
    trial, server = Trial(mortal), mortal
    server.ask_for("poison.json", poison((MARKED, "segv"), (MARKED + 1, "abort")))

    answers = trial.among(culprit(), culprit(MARKED + 1, n=2).streamed())

    assert all(is_convicted(server, answer) for answer in answers)
    assert answers[1].error is not None
    assert server.status()["on_trial"] == 0
    eventually(server.is_idle, "nothing is left of them")


@pytest.mark.parametrize("mortal", [("--hang-patience", "3")], indirect=True, ids=["patience 3"])
def test_a_culprit_that_makes_the_engine_hang(mortal: RunningServer) -> None:
    trial, server = Trial(mortal, 4, least=110), mortal  # long: they have to live for a while where the culprit died
    server.ask_for("poison.json", poison((MARKED, "spin")))

    [answer] = trial.among(culprit().streamed())

    assert is_convicted(server, answer)
    assert [len(choice.text) > 0 for choice in answer.choices] == [True], "what was made before is the client's"
    assert incident_report(server, "last")["cause"] == "hang"
    eventually(server.is_idle, "nothing is left of it")
