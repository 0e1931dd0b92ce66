"""A queue with an end: who comes past it is told when to come back, who is in it is served."""

from __future__ import annotations

from collections.abc import Callable

from running import Clients, RunningServer, eventually


def test_a_full_queue_turns_away_and_serves_who_is_in_it(start: Callable[..., RunningServer]) -> None:
    server = start("--no-standby", "--max-num-seqs", "1", "--max-queue", "1").wait_until_ready()
    alone = server.complete(8)
    with Clients(server) as clients:
        first = clients.stream(server.completion(200))  # it runs while the others come
        second = clients.post(server.completion(8))
        eventually(lambda: server.metrics()["num_requests_waiting"] == 1, "the second waits")

        third = server.http.post("/v1/completions", json=server.completion(8))
        several = server.http.post("/v1/completions", json=server.completion(8, n=2))
        too_many = server.http.post("/v1/completions", json=server.completion(8, n=3))

        for turned_away in (third, several):
            assert turned_away.status_code == 429
            assert int(turned_away.headers["retry-after"]) >= 1
            assert turned_away.json()["error"]["code"] == "queue_full"
        assert too_many.status_code == 400  # however long it waits
        assert "--max-queue" in too_many.json()["error"]["message"]
        assert server.metrics()["num_requests_running"] == 1
        assert server.health() == 200
        assert first.result().done
        assert second.result().json()["choices"][0]["text"] == alone
    eventually(server.is_idle, "both have been served")
    assert server.complete(8) == alone
