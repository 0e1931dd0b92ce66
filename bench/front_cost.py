#!/usr/bin/env python3
"""What the front costs, and how much it carries, with an engine that computes nothing.

Usage: front_cost.py [--model DIRECTORY] [--streams 256] [--tokens 256] [--step 2.0] [--rounds 3] [--json FILE]
                     [--against FILE]

`upright serve` itself runs, with journal, keeper and socket; in the engine's place pretend_engine.py sends a token for
each running request every `--step` milliseconds. A client in this process loads it over loopback. Measured is the
processor time of the thread in which the front does everything (its event loop), because that is what ends first; it
is exact to the nanosecond and hardly disturbed by a busy machine. "carries at most" is what one such thread could do
at that cost; "share" is how much of the time it was busy during that load. Of each row the cheapest of `--rounds`
is shown: what else a machine does can only add to it.

`--against FILE` shows the ratio to an earlier `--json FILE`. With a model
without a vision tower, the rows with images are left out. Linux only.
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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"crop": (560, 280), "page": (1036, 1036)}
START_LIMIT = 60.0  # seconds
WORDS = "river stone mill barrel winter mountain teacher water glass student mirror planet engine bridge".split()  # noqa: SIM905


@dataclass(frozen=True)
class Load:
    requests: int
    at_once: int
    form: dict[str, Any]  # of each request, for `Client.chat`

    @property
    def tokens(self) -> int:
        total: int = self.requests * self.form["tokens"]
        return total


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

    async def chat(self, tokens: int, stream: bool = False, words: int = 20, images: Sequence[str] = ()) -> list[float]:
        """One request; seconds from sending to each event with text (empty when not streamed)."""
        self.number += 1
        text = f"{self.number} {' '.join(random.choices(WORDS, k=words))}"
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if images:
            content.insert(0, {"type": "image_url", "image_url": {"url": images[self.number % len(images)]}})
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

    async def load(self, load: Load) -> Spent:
        todo = iter(range(load.requests))

        async def worker() -> list[list[float]]:
            return [await self.chat(**load.form) for _ in todo]

        before, began = self.front.loop_seconds(), time.perf_counter()
        found = await asyncio.gather(*(worker() for _ in range(load.at_once)))
        wall, after = time.perf_counter() - began, self.front.loop_seconds()
        streams = [times for several in found for times in several if times]
        gaps = [after - before for times in streams for before, after in pairwise(times)]
        return Spent(
            loop=after - before,
            wall=wall,
            events=sum(map(len, streams)),
            first=statistics.median(times[0] for times in streams) if streams else 0.0,
            between=statistics.median(gaps) if gaps else 0.0,
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


def loads(options: argparse.Namespace, vision: bool) -> dict[str, Load]:
    requests, streams, tokens = options.requests, options.streams, options.tokens
    found = {
        "20 words": Load(requests, 8, {"tokens": 1}),
        "800 words": Load(requests, 8, {"tokens": 1, "words": 800}),
        "short streams": Load(streams, streams, {"tokens": 2, "stream": True}),
        "streams": Load(streams, streams, {"tokens": tokens, "stream": True}),
        "short": Load(streams, streams, {"tokens": 2}),
        "whole": Load(streams, streams, {"tokens": tokens}),
        "alone": Load(4, 1, {"tokens": tokens, "stream": True}),
    }
    rng = random.Random(1)
    for kind in SIZES if vision else ():
        found[kind] = Load(requests, 8, {"tokens": 1, "images": [picture(kind, rng) for _ in range(8)]})
    return found


def table(spent: dict[str, Spent], loads: dict[str, Load]) -> list[Row]:
    rows = [
        Row(f"a chat request of {name}, one token", spent[name].loop / loads[name].requests, "request")
        for name in ("20 words", "800 words")
    ]
    for kind in SIZES.keys() & spent.keys():
        size = statistics.mean(map(len, loads[kind].form["images"])) / 1000
        what = f"a chat request with a {kind} of {size:.0f} kB, one token"
        rows.append(Row(what, spent[kind].loop / loads[kind].requests, "request"))
    at_once = f"{loads['streams'].at_once} at once"
    short, streams, whole, alone = spent["short streams"], spent["streams"], spent["whole"], spent["alone"]
    rows.append(Row(f"a stream of two tokens, {at_once}", short.loop / loads["streams"].requests, "stream"))
    more = loads["streams"].requests * (loads["streams"].form["tokens"] - 2)
    tokens = loads["streams"].tokens
    note = f"{tokens / streams.wall:,.0f} tokens/s in all, {tokens / streams.events:.1f} tokens an event, an event "
    note += f"every {1000 * streams.between:.1f} ms, share {streams.share:.2f}"
    rows.append(Row(f"a streamed token, {at_once}", (streams.loop - short.loop) / more, "token", note))
    note = f"{loads['whole'].tokens / whole.wall:,.0f} tokens/s in all, share {whole.share:.2f}"
    rows.append(Row(f"a token not streamed, {at_once}", (whole.loop - spent["short"].loop) / more, "token", note))
    note = f"first token after {1000 * alone.first:.1f} ms, then an event every {1000 * alone.between:.2f} ms, "
    note += f"{loads['alone'].tokens / alone.events:.2f} tokens an event"
    rows.append(Row("a streamed token, one stream alone", alone.loop / loads["alone"].tokens, "token", note))
    return rows


async def measure(options: argparse.Namespace) -> list[Row]:
    front = Front(options.model, options.step / 1000, options.streams)
    best: dict[str, Spent] = {}
    try:
        await front.wait()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:
            async with session.get(front.url + "/v1/models") as response:
                model = (await response.json())["data"][0]["id"]
            client = Client(front, session, model)
            wanted = loads(options, "vision_config" in json.loads((options.model / "config.json").read_text()))
            for name in ("short streams", "short", *(SIZES.keys() & wanted.keys())):
                await client.load(wanted[name])  # warm up
            for _ in range(options.rounds):
                for name, load in wanted.items():
                    spent = await client.load(load)
                    if name not in best or spent.loop < best[name].loop:
                        best[name] = spent
    finally:
        front.stop()
    return table(best, wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--streams", type=int, default=256, help="at once")
    parser.add_argument("--tokens", type=int, default=256, help="of each stream")
    parser.add_argument("--step", type=float, default=2.0, help="milliseconds between two tokens of a request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--against", type=Path, help="such a file of an earlier run, to show the ratio to it")
    options = parser.parse_args()
    earlier = json.loads(options.against.read_text())["microseconds"] if options.against else {}
    rows = asyncio.run(measure(options))
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    if options.json:
        report = {"date": date, "microseconds": {row.what: 1e6 * row.seconds for row in rows}}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{date}, Python {platform.python_version()}, {os.cpu_count()} cores, a step every {options.step:g} ms")
    print("| the front's own cost | loop's processor time | before / now | carries at most | |\n|---|---|---|---|---|")
    for row in rows:
        cost = 1e6 * row.seconds
        ratio = f"{earlier[row.what] / cost:.2f}" if row.what in earlier else ""
        print(f"| {row.what} | {cost:.1f} µs | {ratio} | {1 / row.seconds:,.0f} {row.unit}s/s | {row.note} |")


if __name__ == "__main__":
    main()
