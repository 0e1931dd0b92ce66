"""A server that lists a model, answers chats at once, and does with some of them what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.quiet_server import QuietServer

Answer = tuple[int, dict[str, Any]]  # status and body

DONE: Answer = (200, {"choices": [{"text": "word"}], "usage": {"completion_tokens": 3}})


class StandIn:
    """`model` is its entry in /v1/models. Every chat goes to `answer`, whose thread may wait as long as it likes.

    `keys` came with requests for the list of models, `chat_keys` with chats.
    """

    def __init__(self, model: dict[str, Any], answer: Callable[[dict[str, Any]], Answer]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.chat_keys: list[str | None] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in.keys.append(self.headers["Authorization"])
                self._send(200, json.dumps({"data": [model]}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stand_in.asked.append(body)
                stand_in.chat_keys.append(self.headers["Authorization"])
                status, told = answer(body)
                text = json.dumps(told).encode()
                streamed = b"data: " + text + b"\n\ndata: [DONE]\n\n"
                self._send(status, streamed if body.get("stream") and status == 200 else text)

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *told: Any) -> None:
                pass

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def standing_in(answer: Callable[[dict[str, Any]], Answer] = lambda body: DONE, **model: Any) -> Iterator[StandIn]:
    stand_in = StandIn({"id": "tiny", **model}, answer)
    thread = threading.Thread(target=stand_in.server.serve_forever)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.server.shutdown()
        thread.join()
        stand_in.server.server_close()
