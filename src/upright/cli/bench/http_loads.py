"""Loads of requests for a server, from processes of their own, and what came of them.

`python -m upright.cli.bench.http_loads` is one of those processes: a `Share` comes on its standard input, it makes its
requests, says that it is ready, and begins when it is told.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import msgspec

from upright.cli.bench.http_client import Answer, Target, ask_all
from upright.cli.bench.last_words import LastWords
from upright.cli.bench.loads import Load
from upright.engine.bench_cases import CROP, PAGE, Size, picture
from upright.engine.lifeline import die_with_parent

PICTURES = 64  # different ones in a load; those after repeat them
CONNECTIONS_A_PROCESS = 64
SIZES: dict[str, Size] = {"page": PAGE, "crop": CROP}
REFUSALS = ("HTTP 400", "HTTP 413", "HTTP 422")  # which say of a request what would hold for all of its kind
WORDS = ("river", "stone", "mill", "barrel", "winter", "mountain", "teacher", "light", "water", "glass", "student")


class Share(msgspec.Struct, frozen=True):
    """What one process sends."""

    url: str
    key: str
    model: str
    load: Load
    seed: int


class Outcome(msgspec.Struct):
    """Of a load. Times are in seconds, `began` and `ended` on the monotonic clock of the machine."""

    began: float = 0.0
    ended: float = 0.0
    finished: int = 0
    tokens: int = 0
    latency: list[float] = msgspec.field(default_factory=list)
    first: list[float] = msgspec.field(default_factory=list)
    gaps: list[float] = msgspec.field(default_factory=list)
    errors: dict[str, int] = msgspec.field(default_factory=dict)

    def take(self, answer: Answer) -> None:
        self.began = min(self.began, answer.began) if self.began else answer.began
        self.ended = max(self.ended, answer.ended)
        if answer.error:
            self.errors = dict(Counter(self.errors) + Counter([answer.error]))
            return
        self.finished += 1
        self.tokens += answer.tokens
        self.latency.append(answer.ended - answer.began)
        if answer.first:
            self.first.append(answer.first - answer.began)
        self.gaps += answer.gaps

    def add(self, other: Outcome) -> None:
        if other.began:
            self.began = min(self.began, other.began) if self.began else other.began
        self.ended = max(self.ended, other.ended)
        self.finished += other.finished
        self.tokens += other.tokens
        self.latency += other.latency
        self.first += other.first
        self.gaps += other.gaps
        self.errors = dict(Counter(self.errors) + Counter(other.errors))


def refusal(outcome: Outcome) -> str:
    """What the server says where it refused every single request for what it was; empty if it did not."""
    if outcome.finished or not all(kind.startswith(REFUSALS) for kind in outcome.errors):
        return ""
    return next(iter(outcome.errors), "")


def run_load(url: str, key: str, model: str, load: Load, seed: int) -> Outcome:
    """Send the load from as many processes as it needs, all beginning together. Raises: ChildProcessError."""
    command = [sys.executable, "-m", "upright.cli.bench.http_loads"]
    pipe = subprocess.PIPE
    children: list[tuple[subprocess.Popen[bytes], LastWords]] = []
    try:
        for number, part in enumerate(shares(load, os.cpu_count() or 1)):
            # In a session of its own, so that Ctrl-C ends it only by way of this process
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
            children.append((child, LastWords(child)))
            assert child.stdin is not None
            child.stdin.write(msgspec.json.encode(Share(url, key, model, part, seed * 1000 + number)) + b"\n")
            child.stdin.flush()
        for child, last_words in children:
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                child.kill()
                raise ChildProcessError(f"a process that sends requests has ended: {last_words.read()}")
        for child, _ in children:
            assert child.stdin is not None
            child.stdin.close()
        total = Outcome()
        for child, last_words in children:
            assert child.stdout is not None
            told = child.stdout.read()
            if child.wait() != 0 or not told:
                raise ChildProcessError(f"a process that sends requests has ended: {last_words.read()}")
            total.add(msgspec.json.decode(told, type=Outcome))
        return total
    finally:
        for child, _ in children:
            child.kill()
            child.wait()


def shares(load: Load, cores: int) -> Iterator[Load]:
    """The load, divided among processes: one for so many connections, but no more than a quarter of the cores."""
    count = max(1, min(-(-load.at_once // CONNECTIONS_A_PROCESS), cores // 4))
    for index in range(count):
        yield msgspec.structs.replace(
            load,
            requests=(load.requests + index) // count,
            at_once=(load.at_once + index) // count,
        )


def bodies(share: Share) -> list[bytes]:
    """The requests as they are sent: greedy, with a fixed length, and each with words of its own."""
    load, rng = share.load, random.Random(share.seed)
    urls = []
    if load.content != "text":
        for index in range(min(load.requests, PICTURES)):
            png = base64.b64encode(picture(SIZES[load.content], share.seed * PICTURES + index)).decode()
            urls.append(f"data:image/png;base64,{png}")
    made = []
    for index in range(load.requests):
        text = f"{share.seed} {index}: {' '.join(rng.choices(WORDS, k=load.words))}"
        content: list[dict[str, object]] = [{"type": "text", "text": text}]
        if urls:
            content.insert(0, {"type": "image_url", "image_url": {"url": urls[index % len(urls)]}})
        body = {
            "model": share.model, "messages": [{"role": "user", "content": content}], "max_tokens": load.output,
            "temperature": 0, "ignore_eos": True, "stream": load.stream,
        }  # fmt: skip
        made.append(json.dumps(body | ({"stream_options": {"include_usage": True}} if load.stream else {})).encode())
    return made


def main() -> None:
    import uvloop

    die_with_parent()
    share = msgspec.json.decode(sys.stdin.buffer.readline(), type=Share)
    made = bodies(share)
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()  # ends when all the others are ready too
    outcome = Outcome()
    work = ask_all(Target.of(share.url, share.key), made, share.load.at_once, share.load.stream, outcome.take)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
    # Standard output itself has no buffer where Python was told to use none, and may then take a part alone
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
