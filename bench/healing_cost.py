#!/usr/bin/env python3
"""What healing costs while nothing dies: `upright serve` beside the same server that heals nothing, in one run.

Usage: healing_cost.py [--model DIRECTORY] [--rounds 5] [--repeats 4] [--loads "1 stream,8 streams,tiny"] [--json FILE]

The other server (bare_front.py, bare_engine.py) has the same application, HTTP server, socket and engine, and neither
journal, keeper, policy, watch nor process in reserve; its engine writes no black box and times no step.

In each round both are started anew and measured in turns, now one first and now the other, each time after other
programs are quiet. Loads: 1 stream of 64 tokens; 8 at once of 64; and "tiny", 16 at once of 512 tokens from a decoder
of one small layer with random weights, whose steps take next to nothing, so that what surrounds them shows most.

Two figures for each: tokens a second, from sending to having everything; and processor time of all the server's
processes for a thousand tokens, which a busy machine disturbs less. Ratios are healing / bare for tokens a second and
bare / healing for processor time, so that less than 1 always means that healing costs something. best: of the best
measurements of each; median and quartiles: of the pairs that were measured one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from client import ask, connect
from healing_server import HealingServer, version_line, working_directory
from quiet import wait_quiet

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 300.0  # seconds for one request
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 32}  # fmt: skip


class BareServer(HealingServer):
    name = "bare"

    @property
    def program(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("bare_front.py"))]


@dataclass(frozen=True)
class Load:
    name: str
    streams: int
    tokens: int  # of each stream
    times: int = 1  # one after the other, in one measurement
    tiny: bool = False


LOADS = (Load("1 stream", 1, 64, 2), Load("8 streams", 8, 64, 2), Load("tiny", 16, 512, 1, tiny=True))


@dataclass(frozen=True)
class Measured:
    rate: float  # tokens a second
    processor: float  # seconds for a thousand tokens
    others: float  # share of the cores that other programs took just before


@dataclass
class Pairs:
    """Measurements of both servers; those with the same index were taken one after the other."""

    healing: list[Measured] = field(default_factory=list)
    bare: list[Measured] = field(default_factory=list)

    def rate_ratios(self) -> list[float]:
        return [ours.rate / theirs.rate for ours, theirs in zip(self.healing, self.bare, strict=True)]

    def processor_ratios(self) -> list[float]:
        return [theirs.processor / ours.processor for ours, theirs in zip(self.healing, self.bare, strict=True)]

    def best(self) -> tuple[Measured, Measured]:
        def of(found: list[Measured]) -> Measured:
            return Measured(max(one.rate for one in found), min(one.processor for one in found), 0.0)

        return of(self.healing), of(self.bare)


async def send(server: HealingServer, load: Load) -> None:
    """Raises: RuntimeError if an answer is not whole."""
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    fixed = {"max_tokens": load.tokens, "temperature": 0, "ignore_eos": True, **usage}
    async with connect(LIMIT) as session:
        for _ in range(load.times):
            bodies: list[dict[str, Any]] = [
                {"prompt": f"Note {number}. What I know about dolls that stand up again:", **fixed}
                for number in range(load.streams)
            ]
            replies = await asyncio.gather(*(ask(session, server.url + "/v1/completions", body) for body in bodies))
            for reply in replies:
                if reply.error or reply.tokens != load.tokens:
                    raise RuntimeError(f"{server.name}: {reply.tokens} of {load.tokens} tokens; {reply.error}")


def measure(server: HealingServer, load: Load, patience: float) -> Measured:
    others = wait_quiet(patience)
    spent, began = server.processor_seconds(), time.perf_counter()
    asyncio.run(send(server, load))
    seconds, spent = time.perf_counter() - began, server.processor_seconds() - spent
    tokens = load.streams * load.tokens * load.times
    return Measured(tokens / seconds, 1000 * spent / tokens, others)


def one_round(
    number: int, loads: list[Load], model: Path, directory: Path, options: argparse.Namespace, results: dict[str, Pairs]
) -> None:
    """Start both servers and measure them in turns."""
    common = ["--max-model-len", "2048", "--max-num-seqs", "32"]
    if loads[0].tiny:
        common += ["--load-format", "dummy"]
    healing = HealingServer(model, directory / "healing", *common)
    bare = BareServer(model, directory / "bare", *common, "--no-standby")
    first, second = (healing, bare) if number % 2 == 0 else (bare, healing)
    with first, second:
        for server in (first, second):
            server.settle()
            for load in loads:
                asyncio.run(send(server, load))  # warm up
        for load in loads:
            pairs = results[load.name]
            for repeat in range(options.repeats):
                order = (healing, bare) if (number + repeat) % 2 == 0 else (bare, healing)
                found = {server.name: measure(server, load, options.patience) for server in order}
                pairs.healing.append(found[healing.name])
                pairs.bare.append(found[bare.name])
            last = pairs.rate_ratios()[-options.repeats :]
            told = ", ".join(f"{ratio:.3f}" for ratio in last)
            print(f"round {number + 1}, {load.name}: {told}; others {found['bare'].others:.0%}", file=sys.stderr,
                  flush=True)  # fmt: skip


def tiny_model(source: Path, target: Path) -> Path:
    """A directory with `source`'s tokenizer and a decoder of one small layer; it has no weights."""
    target.mkdir()
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, target)
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | TINY))
    return target


def spread(ratios: list[float]) -> str:
    if len(ratios) < 2:
        return f"{ratios[0]:.3f}"
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})"


def table(results: dict[str, Pairs]) -> str:
    lines = [
        "| load | healing, tok/s | bare, tok/s | ratio of best | median of pairs | healing, CPU s per 1000 tok | "
        "bare, CPU s | ratio of best | median of pairs |",
        "|" + "---|" * 9,
    ]
    for name, pairs in results.items():
        ours, theirs = pairs.best()
        cells = [
            f"{ours.rate:.1f}", f"{theirs.rate:.1f}", f"{ours.rate / theirs.rate:.3f}", spread(pairs.rate_ratios()),
            f"{ours.processor:.3f}", f"{theirs.processor:.3f}", f"{theirs.processor / ours.processor:.3f}",
            spread(pairs.processor_ratios()),
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2")
    parser.add_argument("--rounds", type=int, default=5, help="starts of both servers")
    parser.add_argument("--repeats", type=int, default=4, help="pairs of measurements of each load in a round")
    parser.add_argument("--loads", default=",".join(load.name for load in LOADS))
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for other programs to be quiet")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    wanted = options.loads.split(",")
    chosen = [load for load in LOADS if load.name in wanted]
    if len(chosen) != len(wanted):
        parser.error(f"--loads are some of {', '.join(load.name for load in LOADS)}")
    directory = working_directory("healing-cost")
    results = {load.name: Pairs() for load in chosen}
    tiny = tiny_model(options.model, directory / "tiny")
    for number in range(options.rounds):
        for model, loads in ((options.model, [one for one in chosen if not one.tiny]),
                             (tiny, [one for one in chosen if one.tiny])):  # fmt: skip
            if loads:
                kind = "tiny" if model is tiny else "whole"
                one_round(number, loads, model, directory / f"{number}-{kind}", options, results)
    print(f"{datetime.now().astimezone().isoformat(timespec='seconds')}, {version_line()}")
    print(" ".join(["bench/healing_cost.py", *sys.argv[1:]]))
    print(f"{options.rounds} rounds of {options.repeats} pairs. Less than 1: healing costs something.\n")
    print(table(results))
    if options.json:
        everything = {
            name: [[(one.rate, one.processor, one.others) for one in side] for side in (pairs.healing, pairs.bare)]
            for name, pairs in results.items()
        }
        report = {"command": sys.argv, "version": version_line(), "healing_bare": everything}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
