#!/usr/bin/env python3
"""What the front itself costs: processor time per request and per streamed token, with an engine that computes nothing.

Usage: front_cost.py [--model DIRECTORY] [--requests 400] [--streams 32] [--tokens 256] [--json FILE]

The real application with its routes, template, tokenizer, journal and detokeniser runs in a process of its own under
uvicorn, behind a scripted engine; a client in this process loads it over loopback. Measured is the processor time of
the front's process (user and system), so a busy machine hardly disturbs it. Not included: the socket to the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil

ROOT = Path(__file__).resolve().parent.parent
STEP_SECONDS = 0.02  # of the scripted engine: slow enough for every token to be an event of its own
WORDS = "river stone mill barrel winter mountain teacher water glass student mirror planet engine bridge".split()  # noqa: SIM905


# ---- the front, in the child process ---------------------------------------------------------------------------------


def serve(model: str, port: int) -> None:
    import uvicorn

    from upright.api.app import create_app
    from upright.chat.context import ChatContext
    from upright.config import ServeConfig
    from upright.models.model_config import read_model_config

    directory = Path(model)
    context = ChatContext.load(directory, read_model_config(directory), ServeConfig(model=model), 4096)
    app = create_app(scripted_engine(), context)
    uvicorn.run(app, host="127.0.0.1", port=port, http="httptools", loop="uvloop", ws="none", log_level="warning")


def scripted_engine() -> Any:
    """An `EngineService` that gives every running request one token a step, all in one go as a real engine does.

    A request for one token is answered at once.
    """
    from upright.messages import EngineStats, Ready, Request, SequenceOutput
    from upright.supervise.journal import Entry, Journal

    class ScriptedEngine:
        state = "ready"
        ready: Ready | None = None
        stats: EngineStats | None = None
        retry_after = 1

        def __init__(self) -> None:
            self.journal = Journal()
            self.stepping: asyncio.Task[None] | None = None

        def admit(self, sequences: int) -> None:
            pass

        def submit(self, request: Request) -> Entry:
            entry = self.journal.open(request)
            loop = asyncio.get_running_loop()
            if request.params.max_tokens == 1:
                loop.call_soon(self.advance, entry, loop.time())
            elif self.stepping is None or self.stepping.done():
                self.stepping = loop.create_task(self.steps())
            return entry

        def release(self, request_id: str) -> None:
            self.journal.close(request_id)

        async def steps(self) -> None:
            loop = asyncio.get_running_loop()
            while len(self.journal):
                await asyncio.sleep(STEP_SECONDS)
                for entry in self.journal:
                    if not entry.done:
                        self.advance(entry, loop.time())

        def advance(self, entry: Entry, now: float) -> None:
            count = len(entry.output)
            finish = "length" if count + 1 == entry.request.params.max_tokens else None
            token = 1000 + (count * 7919) % 20000  # varied pieces of text
            update = SequenceOutput(id=entry.request.id, tokens=[token], finish=finish, cached_tokens=0)  # type: ignore[arg-type]
            entry.append(update, now)

    return ScriptedEngine()


# ---- the client, in this process -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Milliseconds of the front's processor time."""

    what: str
    milliseconds: float
    unit: str


class Load:
    def __init__(self, url: str, front: psutil.Process) -> None:
        self.url = url
        self.front = front

    async def __aenter__(self) -> Load:
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def chat(self, words: int, tokens: int, stream: bool) -> int:
        """One request; the number of events with text that came back (1 when not streamed)."""
        text = " ".join(random.choices(WORDS, k=words))
        message = [{"role": "user", "content": text}]
        body = {"messages": message, "max_tokens": tokens, "stream": stream, "temperature": 0, "ignore_eos": True}
        async with self.session.post(self.url + "/v1/chat/completions", json=body | {"model": self.model}) as response:
            response.raise_for_status()
            if not stream:
                assert (await response.json())["usage"]["completion_tokens"] == tokens
                return 1
            return sum([line.startswith(b'data: {"') async for line in response.content])

    async def spent(self, work: Callable[[], Awaitable[int]], times: int, at_once: int) -> tuple[float, int]:
        """Milliseconds of the front's processor time over all requests, and their events."""
        todo = iter(range(times))
        before = self.front.cpu_times()

        async def worker() -> int:
            return sum([await work() for _ in todo])

        events = sum(await asyncio.gather(*(worker() for _ in range(at_once))))
        after = self.front.cpu_times()
        return 1000 * (after.user + after.system - before.user - before.system), events

    async def rows(self, requests: int, streams: int, tokens: int) -> list[Row]:
        async with self.session.get(self.url + "/v1/models") as response:
            self.model = (await response.json())["data"][0]["id"]
        await self.spent(lambda: self.chat(20, 1, stream=False), 50, 8)  # warm up
        await self.spent(lambda: self.chat(20, 8, stream=True), 8, 8)
        rows = []
        for words in (20, 800):
            milliseconds, _ = await self.spent(lambda words=words: self.chat(words, 1, stream=False), requests, 8)  # type: ignore[misc]
            rows.append(
                Row(f"a chat request of {words} words, one token of answer", milliseconds / requests, "request")
            )
        opening, few = await self.spent(lambda: self.chat(20, 2, stream=True), streams, streams)
        streamed, many = await self.spent(lambda: self.chat(20, tokens + 2, stream=True), streams, streams)
        rows.append(Row(f"opening and ending a stream, {streams} at once", opening / streams, "stream"))
        rows.append(Row(f"a streamed token, {streams} streams at once", (streamed - opening) / (many - few), "token"))
        merged = streams * tokens / (many - few)
        if merged > 1.02:
            print(f"note: {merged:.2f} tokens an event; the front fell behind the engine's steps", file=sys.stderr)
        once, _ = await self.spent(lambda: self.chat(20, 2, stream=False), streams, streams)
        whole, _ = await self.spent(lambda: self.chat(20, tokens + 2, stream=False), streams, streams)
        rows.append(Row("a token that is not streamed", (whole - once) / (streams * tokens), "token"))
        return rows


async def wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    async with aiohttp.ClientSession() as session:
        while child.poll() is None:
            try:
                async with session.get(url + "/live") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise SystemExit("the front ended before it served; its message is above")


async def measure(options: argparse.Namespace) -> list[Row]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, "--serve", str(port), "--model", str(options.model)]
    child = subprocess.Popen(command)  # noqa: ASYNC220 - nothing else runs yet
    try:
        url = f"http://127.0.0.1:{port}"
        await wait_for(url, child)
        async with Load(url, psutil.Process(child.pid)) as load:
            return await load.rows(options.requests, options.streams, options.tokens)
    finally:
        child.terminate()
        child.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(str(options.model), options.serve)
        return
    rows = asyncio.run(measure(options))
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    if options.json:
        report = {"date": date, "milliseconds": {row.what: row.milliseconds for row in rows}}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{date}, Python {platform.python_version()}")
    print("| the front's own cost | processor time | at most, on one core |\n|---|---|---|")
    for row in rows:
        rate = f"{1000 / row.milliseconds:,.0f} {row.unit}s/s" if row.milliseconds > 0 else "too little to measure"
        print(f"| {row.what} | {row.milliseconds:.3f} ms | {rate} |")


if __name__ == "__main__":
    main()
