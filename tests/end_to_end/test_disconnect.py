"""A client that goes away frees its request and its blocks, in front and engine."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from running import GUARD, RunningServer, eventually

LONG = 4000  # tokens; far more than can be made while a test looks


def test_a_client_that_leaves_a_stream(server: RunningServer) -> None:
    eventually(server.is_idle, "the server is idle")
    aborted = server.metrics().get("requests_total abort", 0)
    body = server.completion(LONG, stream=True)
    with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=GUARD) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        figures = server.metrics()
        assert (figures["num_requests_running"], figures["kv_cache_blocks_used"] > 0) == (1, True)
    eventually(server.is_idle, "the request has been stopped and its blocks are free")
    assert server.metrics()["requests_total abort"] == aborted + 1


@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_before_the_answer(server: RunningServer, n: int) -> None:
    eventually(server.is_idle, "the server is idle")
    body = json.dumps(server.completion(LONG, n=n)).encode()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        eventually(lambda: server.metrics()["num_requests_running"] == n, "the request runs")
    eventually(server.is_idle, "the request has been stopped and its blocks are free")
    assert len(server.complete(4)) > 0
