"""The end as an operator asks for it: what runs is finished, nothing new begins, nothing is left."""

from __future__ import annotations

import signal
from collections.abc import Callable

import httpx
import pytest
from running import Clients, RunningServer, eventually

LONG = 4000  # tokens; never finished within these tests


@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True)], ids=["TERM", "ctrl-c"])
def test_requests_in_flight_are_finished(
    start: Callable[..., RunningServer], number: signal.Signals, group: bool
) -> None:
    server = start().wait_until_ready()
    alone = server.complete(8)
    with Clients(server) as clients:
        stream = clients.stream(server.completion(150))
        plain = clients.post(server.completion(150))
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
    server = start("--drain-timeout", "1000").wait_until_ready()
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
    server = start("--drain-timeout", "0.2").wait_until_ready()
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
    server = start()
    eventually(lambda: "starting the engine" in server.log, "the engine is being started")
    server.signal(signal.SIGINT, group=True)
    assert server.wait() == 0
    assert server.left_behind() == []
    assert "Traceback" not in server.log
    assert " is ready" not in server.log
