#!/usr/bin/env python3
"""What the front costs, and how much it carries, with an engine that computes nothing.

Usage: front_cost.py [--model DIRECTORY] [--streams 256] [--tokens 256] [--step 2.0] [--rounds 3] [--json FILE]

`upright serve` itself runs, with journal, keeper and socket; in the engine's place pretend_engine.py sends a token for
each running request every `--step` milliseconds. A client in this process loads it over loopback. Measured is the
processor time of the thread in which the front does everything (its event loop), because that is what ends first; it
is exact to the nanosecond and hardly disturbed by a busy machine. "carries at most" is what one such thread could do
at that cost; "share" is how much of the time it was busy during that load. Costs are medians of `--rounds`.

With a model without a vision tower, the rows with images are left out. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import platform
import random
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"crop": (560, 280), "page": (1036, 1036)}
START_LIMIT = 60.0  # seconds
WORDS = "river stone mill barrel winter mountain teacher water glass student mirror planet engine bridge".split()  # noqa: SIM905


@dataclass(frozen=True)
class Spent:
    """One load as the front felt it."""

    loop: float  # seconds of processor time of the event loop's thread
    wall: float  # seconds
    events: int  # pieces of text that came back
    first: float  # seconds to the first token, median; 0 where nothing is streamed
    between: float  # seconds between two events of one stream, median

    @property
    def share(self) -> float:
        return self.loop / self.wall


@dataclass(frozen=True)
class Row:
    what: str
    seconds: float  # of the loop's processor time for one `unit`
    unit: str
    note: str = ""


class Front:
    """`upright serve` with a pretended engine, in a process of its own."""

    def __init__(self, model: Path, step: float, rows: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.state = tempfile.TemporaryDirectory(prefix="front-cost-")
        command = [sys.executable, str(Path(__file__).with_name("pretend_front.py")), "serve", str(model)]
        command += ["--port", str(port), "--no-standby", "--device", "cpu", "--load-format", "dummy", "--log-level"]
        command += ["warning", "--max-num-seqs", str(rows), "--max-model-len", "4096", "--state-dir", self.state.name]
        environment = os.environ | {"PRETEND_STEP": str(step), "PRETEND_ROWS": str(rows), "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def loop_seconds(self) -> float:
        """Processor time of the main thread, where the event loop runs."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9

    async def wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        async with aiohttp.ClientSession() as session:
            while self.process.poll() is None and time.monotonic() < deadline:
                try:
                    async with session.get(self.url + "/health") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise SystemExit("the front did not start to serve; try `bench/pretend_front.py serve MODEL` to see why")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.state.cleanup()


class Client:
    def __init__(self, front: Front, session: aiohttp.ClientSession, model: str) -> None:
        self.front = front
        self.session = session
        self.model = model
        self.number = 0

    async def chat(self, tokens: int, stream: bool, words: int = 20, image: str | None = None) -> list[float]:
        """One request; seconds from sending to each event with text (empty when not streamed)."""
        self.number += 1
        content: list[dict[str, Any]] = [
            {"type": "text", "text": f"{self.number} {' '.join(random.choices(WORDS, k=words))}"}
        ]
        if image is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": image}})
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], "max_tokens": tokens,
                "temperature": 0, "ignore_eos": True, "stream": stream}  # fmt: skip
        if stream:
            body["stream_options"] = {"include_usage": True}
        began = time.perf_counter()
        async with self.session.post(self.front.url + "/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            if not stream:
                assert (await response.json())["usage"]["completion_tokens"] == tokens
                return []
            times, counted, line = [], 0, b""
            async for line in response.content:
                if line.startswith(b"data: {"):
                    times.append(time.perf_counter() - began)
                    if b'"usage":{' in line:
                        counted = json.loads(line[6:])["usage"]["completion_tokens"]
            assert counted == tokens, f"{counted} of {tokens} tokens came back"
            return times[:-1]

    async def load(self, times: int, at_once: int, work: Callable[[], Awaitable[list[float]]]) -> Spent:
        todo = iter(range(times))
        arrivals: list[list[float]] = []

        async def worker() -> None:
            for _ in todo:
                arrivals.append(await work())

        before, began = self.front.loop_seconds(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        wall, after = time.perf_counter() - began, self.front.loop_seconds()
        streamed = [one for one in arrivals if one]
        gaps = [b - a for one in streamed for a, b in zip(one, one[1:], strict=False)]
        return Spent(
            after - before,
            wall,
            sum(map(len, streamed)),
            statistics.median(one[0] for one in streamed) if streamed else 0.0,
            statistics.median(gaps) if gaps else 0.0,
        )


def picture(kind: str, rng: random.Random) -> str:
    """A PNG of rendered words as a data: URL."""
    from PIL import Image, ImageDraw

    width, height = SIZES[kind]
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for y in range(20, height - 20, 18):
        words = ("".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(width // 60))
        draw.text((20, y), " ".join(words), fill="black")
    png = io.BytesIO()
    image.save(png, "PNG")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


async def one_round(client: Client, streams: int, tokens: int, requests: int, vision: bool) -> list[Row]:
    rows = []

    def chat(tokens: int, stream: bool, **options: Any) -> Callable[[], Awaitable[list[float]]]:
        return lambda: client.chat(tokens, stream, **options)

    spent = await client.load(requests, 8, chat(1, False))
    rows.append(Row("a chat request of 20 words, one token", spent.loop / requests, "request"))
    spent = await client.load(requests, 8, chat(1, False, words=800))
    rows.append(Row("a chat request of 800 words, one token", spent.loop / requests, "request"))
    if vision:
        for kind in SIZES:
            rng = random.Random(1)
            images = [picture(kind, rng) for _ in range(8)]
            size = statistics.mean(map(len, images)) / 1000
            spent = await client.load(requests, 8, lambda: client.chat(1, False, image=random.choice(images)))  # noqa: B023
            rows.append(Row(f"a chat request with a {kind} of {size:.0f} kB", spent.loop / requests, "request"))
    few = await client.load(streams, streams, chat(2, True))
    rows.append(Row(f"opening and ending a stream, {streams} at once", few.loop / streams, "stream"))
    many = await client.load(streams, streams, chat(tokens + 2, True))
    note = f"{streams * (tokens + 2) / many.wall:,.0f} tokens/s in all, {streams * tokens / (many.events - few.events):.1f} "
    note += f"tokens an event, one every {1000 * many.between:.1f} ms, share {many.share:.2f}"
    rows.append(
        Row(f"a streamed token, {streams} streams at once", (many.loop - few.loop) / (streams * tokens), "token", note)
    )
    once = await client.load(streams, streams, chat(2, False))
    whole = await client.load(streams, streams, chat(tokens + 2, False))
    note = f"{streams * (tokens + 2) / whole.wall:,.0f} tokens/s in all, share {whole.share:.2f}"
    rows.append(
        Row(
            f"a token that is not streamed, {streams} at once",
            (whole.loop - once.loop) / (streams * tokens),
            "token",
            note,
        )
    )
    alone = await client.load(4, 1, chat(tokens + 2, True))
    note = f"first token after {1000 * alone.first:.1f} ms, then one every {1000 * alone.between:.2f} ms, "
    note += f"{4 * (tokens + 2) / alone.events:.2f} tokens an event"
    rows.append(Row("a streamed token, one stream alone", alone.loop / (4 * (tokens + 2)), "token", note))
    return rows


async def measure(options: argparse.Namespace) -> list[Row]:
    front = Front(options.model, options.step / 1000, options.streams)
    try:
        await front.wait()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:
            async with session.get(front.url + "/v1/models") as response:
                model = (await response.json())["data"][0]["id"]
            client = Client(front, session, model)
            vision = "vision_config" in json.loads((options.model / "config.json").read_text())
            await client.load(options.streams, options.streams, lambda: client.chat(8, True))  # warm up
            rounds = []
            for _ in range(options.rounds):
                rounds.append(await one_round(client, options.streams, options.tokens, options.requests, vision))
    finally:
        front.stop()
    # Of each row the round with the median cost, whose note then belongs to it.
    return [sorted(same, key=lambda row: row.seconds)[len(same) // 2] for same in zip(*rounds, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--streams", type=int, default=256, help="at once")
    parser.add_argument("--tokens", type=int, default=256, help="of each stream")
    parser.add_argument("--step", type=float, default=2.0, help="milliseconds between two tokens of a request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rows = asyncio.run(measure(options))
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    if options.json:
        report = {"date": date, "microseconds": {row.what: 1e6 * row.seconds for row in rows}}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{date}, Python {platform.python_version()}, {os.cpu_count()} cores, a step every {options.step:g} ms")
    print("| the front's own cost | loop's processor time | carries at most | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {1e6 * row.seconds:.1f} µs | {1 / row.seconds:,.0f} {row.unit}s/s | {row.note} |")


if __name__ == "__main__":
    main()
