#!/usr/bin/env python3
"""How long streams stand still when the engine is killed: from SIGKILL to the next token, as the clients see it.

Usage: recovery.py [--model DIRECTORY] [--deaths 5] [--streams 8] [--tokens 96] [--options="…"] [--json FILE]

A server with a process in reserve, then one with --no-standby, in the same run. Before each death the server is at rest
and all streams have begun; each must then bring all its tokens, none lost and none twice: the ids that came are counted
against what was asked for and what the server says. They are compared with the ids of the same streams without a death
too. In half precision a replay may break a near-tie otherwise, so streams that part are only told of. A stream's pause
is its longest gap between two tokens that ends after the kill, counted from the kill: tokens that were on their way
when the engine died are no recovery.

The parts are the server's own, from the incident's report: notice (the engine's last sign of life until the front
knows), take over (until another process has the work), load (until it serves), replay (until the last stream has
gone on). Loading the model cannot be avoided, so overhead is the pause less the load. Without a reserve the load in the
report begins with the imports, so there the load is taken to be the median of the loads with one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shlex
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from client import Reply, ask, connect
from deaths import KINDS, needs_faults, strike
from healing_server import HealingServer, version_line, working_directory
from quiet import wait_quiet

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("notice", "take_over", "load", "replay")
BEGUN = 4  # pieces of every stream before the engine is killed
LIMIT = 300.0  # seconds for one death, all included


@dataclass(frozen=True)
class Parted:
    """A stream whose tokens differ from the undisturbed ones."""

    at: int  # the first such token
    killed_at: int  # tokens that the client had when the engine was killed


@dataclass(frozen=True)
class Death:
    pauses: list[float]  # seconds from the kill to the next token, by stream
    parts: dict[str, float]  # seconds
    others: float  # share of the cores that other programs took just before
    parted: list[Parted]  # streams that do not say what they say without a death


@dataclass
class Variant:
    """Deaths of the engines of one server."""

    name: str
    options: list[str]
    deaths: list[Death] = field(default_factory=list)

    def part(self, name: str) -> list[float]:
        return [death.parts[name] for death in self.deaths]

    def pauses(self) -> list[float]:
        return [pause for death in self.deaths for pause in death.pauses]

    def overheads(self, load: float | None) -> list[float]:
        """The pause of every stream less the load: `load`, or else the one of that death."""
        return [
            pause - (death.parts["load"] if load is None else load) for death in self.deaths for pause in death.pauses
        ]


async def undisturbed(server: HealingServer, streams: int, tokens: int) -> list[list[int]]:
    """What every stream says while nothing dies. Raises: RuntimeError."""
    async with connect(LIMIT) as session:
        url = server.url + "/v1/completions"
        replies = await asyncio.gather(*(ask(session, url, _body(number, tokens)) for number in range(streams)))
    return [_whole(reply, tokens) for reply in replies]


def _whole(reply: Reply, tokens: int) -> list[int]:
    """The ids of a stream's tokens. Raises: RuntimeError if some are lost, or came twice."""
    ids = reply.choices[0].token_ids if reply.choices else []
    if reply.error or not tokens == reply.tokens == len(ids):
        raise RuntimeError(
            f"a stream is not whole: {len(ids)} ids came of {tokens} tokens, and the server counts {reply.tokens}; "
            f"{reply.error}"
        )
    return ids


async def one_death(
    server: HealingServer, streams: int, tokens: int, others: float, fault: tuple[str, Path], right: list[list[int]]
) -> Death:
    """Raises: RuntimeError if a stream is not whole, or no report comes."""
    replies = [Reply() for _ in range(streams)]
    async with connect(LIMIT) as session:
        url = server.url + "/v1/completions"
        asked = [
            asyncio.create_task(ask(session, url, _body(number, tokens), reply)) for number, reply in enumerate(replies)
        ]
        while any(len(reply.arrivals) < BEGUN for reply in replies):
            if any(task.done() for task in asked):
                raise RuntimeError(f"streams ended before all had begun; give more --tokens: {replies[0].error}")
            await asyncio.sleep(0.01)
        status = await asyncio.to_thread(server.status)
        had = [len(reply.choices[0].token_ids) for reply in replies]
        killed = time.monotonic()
        strike(fault[0], status["engines"][0]["pid"], fault[1])
        await asyncio.gather(*asked)
    parted = [
        Parted(next(at for at, pair in enumerate(zip(ids, theirs, strict=True)) if pair[0] != pair[1]), before)
        for ids, theirs, before in zip((_whole(reply, tokens) for reply in replies), right, had, strict=True)
        if ids != theirs
    ]
    pauses = [pause(reply.arrivals, killed) for reply in replies]
    return Death(pauses, await _reported(server, status["deaths"]), others, parted)


def pause(arrivals: list[float], killed: float) -> float:
    """Seconds from the kill to the end of the longest gap that ends after it."""
    gaps = [(end - begin, end) for begin, end in itertools.pairwise(arrivals) if end > killed]
    if not gaps:
        raise RuntimeError("a stream ended before the engine was killed; give more --tokens")
    return max(gaps)[1] - killed


async def _reported(server: HealingServer, before: int) -> dict[str, float]:
    """The parts of the newest recovery, once it is written."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        status = await asyncio.to_thread(server.status)
        if status["deaths"] > before:
            report = (await asyncio.to_thread(server.incidents)).get(status["last_death"]["incident"])
            if report is not None and report["recovery"] is not None:
                return {name: report["recovery"][name] for name in PARTS}
        await asyncio.sleep(0.05)
    raise RuntimeError(f"no report tells of the recovery; see {server.setting.logs}")


def _body(number: int, tokens: int) -> dict[str, Any]:
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    prompt = f"Note {number}. A story about a doll that stands up again, for the {number + 1}th time:"
    exact = {"max_tokens": tokens, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
    return {"prompt": prompt, **exact, **usage}


def measure(variant: Variant, options: argparse.Namespace, directory: Path) -> None:
    extra = [*shlex.split(options.options), "--max-num-seqs", str(max(8, options.streams)), *variant.options]
    faults = directory / f"{variant.name.replace(' ', '-')}-faults"
    faults.mkdir(parents=True)
    if needs_faults([options.kind]):
        extra += ["--test-faults", str(faults)]
    with HealingServer(options.model, directory / variant.name.replace(" ", "-"), *extra) as server:
        right = asyncio.run(undisturbed(server, options.streams, options.tokens))
        for number in range(options.deaths):
            server.settle()
            others = wait_quiet(options.patience)
            fault = options.kind, faults
            death = asyncio.run(one_death(server, options.streams, options.tokens, others, fault, right))
            variant.deaths.append(death)
            told = ", ".join(f"{name} {seconds:.2f}" for name, seconds in death.parts.items())
            earlier = sum(one.at < one.killed_at for one in death.parted)
            print(
                f"{variant.name}, death {number + 1}: {min(death.pauses):.2f} to {max(death.pauses):.2f} s; {told}; "
                f"{options.streams} whole, {len(death.parted)} part from the undisturbed ones, {earlier} of them "
                f"before the kill; others {others:.0%}", file=sys.stderr, flush=True,
            )  # fmt: skip


def table(variants: list[Variant]) -> str:
    """Markdown: seconds, median and worst."""
    header = ["", "kill to next token", "notice", "take over", "load", "replay", "overhead"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    pure = statistics.median(variants[0].part("load"))
    for variant in variants:
        load = pure if variant is not variants[0] else None
        columns = [variant.pauses(), *(variant.part(name) for name in PARTS), variant.overheads(load)]
        cells = [f"{statistics.median(values):.2f} / {max(values):.2f}" for values in columns]
        lines.append(f"| {variant.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2")
    parser.add_argument("--deaths", type=int, default=5, help="of each variant")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--kind", choices=KINDS, default="kill", help="how the engine dies")
    parser.add_argument("--tokens", type=int, default=96, help="of each stream")
    parser.add_argument("--reserve-only", action="store_true", help="leave out the comparison without a reserve")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for other programs to be quiet")
    parser.add_argument("--options", default="--max-model-len 2048", help="more options of `upright serve`")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    directory = working_directory("recovery")
    variants = [Variant("with a reserve", [])]
    if not options.reserve_only:
        variants.append(Variant("without", ["--no-standby"]))
    for variant in variants:
        measure(variant, options, directory)
    print(f"{datetime.now().astimezone().isoformat(timespec='seconds')}, {version_line()}")
    print(" ".join(["bench/recovery.py", *sys.argv[1:]]))
    print(f"Seconds, median / worst of {options.deaths} deaths with {options.streams} streams in flight.")
    told = "; ".join(f"{one.name}: {sum(len(death.parted) for death in one.deaths)}" for one in variants)
    print(f"No stream was lost or has a token too many. Other tokens than without a death have, {told}.\n")
    print(table(variants))
    if options.json:
        report = {"command": sys.argv, "version": version_line(), "variants": [asdict(one) for one in variants]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
