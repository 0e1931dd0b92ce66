"""A client that costs little: it must not be what limits the server that it measures.

One connection for one request at a time, reused for the next. Nothing of a stream is parsed but what is measured: when
pieces come, and at the end what the server says of its tokens.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

TAIL_BYTES = 4096  # of an answer, in which its end and its usage stand
_CONTENT = re.compile(rb'"(?:content|text)": ?"[^"]')
_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
_DONE = b"data: [DONE]"
_MESSAGE = re.compile(rb'"message": ?"((?:[^"\\]|\\.){1,200})')
_ERROR = re.compile(rb'data: ?\{"error"')


@dataclass
class Answer:
    """Times are in seconds on the monotonic clock."""

    began: float
    ended: float = 0.0
    first: float = 0.0  # first piece with text; 0.0 without any
    gaps: list[float] = field(default_factory=list)  # between pieces that came after the first
    tokens: int = 0  # of output, as the server counts them
    error: str = ""  # its kind; empty if all went well


@dataclass(frozen=True)
class Target:
    """Where a server is."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    prefix: str  # of every path
    key: str  # of the API; empty for none

    @classmethod
    def of(cls, url: str, key: str = "") -> Target:
        """Raises: ValueError for an address that is none."""
        parts = urlsplit(url if "://" in url else "http://" + url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is no address of a server; give one such as http://127.0.0.1:8000")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, prefix, key)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        lines = [
            f"{method} {self.prefix}{path} HTTP/1.1", f"Host: {self.host}:{self.port}",
            "Content-Type: application/json", f"Content-Length: {len(body)}",
        ]  # fmt: skip
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _told(body: bytearray) -> str:
    """What a server says in OpenAI's form of an error, or nothing."""
    found = _MESSAGE.search(body)
    return f": {found[1].decode(errors='replace')}" if found else ""


class Connection(asyncio.Protocol):
    """Sends a request and reads its answer. `whole`: keep the body, for answers that are read."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: Answer | None = None
        self._over: asyncio.Future[None] | None = None
        self._stream = False
        self.body = bytearray()  # the tail of the answer, or all of it

    async def ask(
        self, method: str, path: str, body: bytes = b"", stream: bool = False, seconds: float = 600.0
    ) -> Answer:
        """Every failure that a client could meet ends up in the answer's `error`."""
        answer = self._answer = Answer(time.monotonic())
        loop = asyncio.get_running_loop()
        self._stream, self.body = stream, bytearray()
        self._over = loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        try:
            async with asyncio.timeout(seconds):
                if self._transport is None or self._transport.is_closing():
                    target = self._target
                    await loop.create_connection(lambda: self, target.host, target.port, ssl=target.tls)
                assert self._transport is not None
                self._transport.write(self._target.request(method, path, body))
                await self._over
        except TimeoutError:
            answer.error = f"no end after {seconds:g} s"
            self.close()
        except OSError as error:
            answer.error = answer.error or type(error).__name__
        answer.ended = time.monotonic()
        found = _TOKENS.findall(self.body)
        answer.tokens = int(found[-1]) if found else 0
        return answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # ---- asyncio's side ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self._parser is not None:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                self._end(f"not HTTP: {type(error).__name__}")
                self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._end(type(error).__name__ if error is not None else "connection closed before the end")

    # ---- the parser's side -------------------------------------------------------------------------------------------

    def on_body(self, piece: bytes) -> None:
        answer, body = self._answer, self.body
        if answer is None:
            return
        if self._stream:
            now = time.monotonic()
            if answer.first:
                answer.gaps.append(now - answer.ended)
                answer.ended = now
            elif _CONTENT.search(piece):
                answer.first = answer.ended = now
            if len(body) > 4 * TAIL_BYTES:
                del body[:-TAIL_BYTES]
            if b'"error"' in piece and _ERROR.search(piece):
                answer.error = "error event"
        body += piece

    def on_message_complete(self) -> None:
        parser, answer = self._parser, self._answer
        if parser is None or answer is None:
            return
        status = parser.get_status_code()
        if status != 200:
            self._end(f"HTTP {status}{_told(self.body)}")
        elif self._stream and not answer.error and _DONE not in self.body[-TAIL_BYTES:]:
            self._end("stream cut")
        else:
            self._end("")
        if not parser.should_keep_alive():
            self.close()

    def _end(self, error: str) -> None:
        if self._over is not None and not self._over.done():
            if self._answer is not None:
                self._answer.error = self._answer.error or error
            self._over.set_result(None)


async def ask_all(
    target: Target, bodies: list[bytes], at_once: int, stream: bool, done: Callable[[Answer], None]
) -> None:
    """Send all `bodies` as chats, `at_once` at a time; `done` gets every answer as it ends."""
    todo = iter(bodies)

    async def worker() -> None:
        connection = Connection(target)
        for body in todo:
            done(await connection.ask("POST", "/v1/chat/completions", body, stream))
        connection.close()

    await asyncio.gather(*(worker() for _ in range(min(at_once, len(bodies)))))
