#!/usr/bin/env python3
"""Does any request notice that engines die? A server under mixed load, a death every few seconds, every answer checked.

Usage: soak.py [--minutes 10] [--every 5] [--model DIRECTORY] [--kills kill,segv,stop,raise] [--clients 8]
               [--options="…of upright serve"] [--json FILE]

First each request of a fixed set (soak_cases.py; with images if the model sees) is answered once, alone: these are the
right answers. Then clients send them in random order, without a pause. A fifth of the time nothing happens; after that
an engine dies every --every seconds, in the ways of --kills in turn (only SIGKILL by default). Crashes and hangs count
against the configuration, so with kinds such as segv the server moves to safer, slower rungs, as it should; the ratio
of throughputs says what deaths cost only where the rung has stayed.

Every answer is compared: text, token ids, log-probability tokens, how it ended, how many tokens. Requests a second are
those that ended in the phase, whenever they began; the load does not pause between the phases. Recovery is from the
death to the next token of the last request that was in flight, from the server's own reports. Memory, files, sockets
and threads of the front are sampled while engines die.

Exit code 1 if an answer is missing, differs or is an error, or if anything of the server is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shlex
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from client import Reply, ask, connect
from deaths import KINDS, needs_faults, strike
from healing_server import HealingServer, recovery_seconds, version_line, working_directory
from resources import Resources
from soak_cases import Case, cases

ROOT = Path(__file__).resolve().parent.parent
UNDISTURBED_SHARE = 0.2
SAMPLE_SECONDS = 2.0
REQUEST_LIMIT = 300.0  # seconds, after which an answer counts as lost
MOST_SHOWN = 10  # of what went wrong


@dataclass
class Phase:
    """Answers that came between two moments, in seconds on the monotonic clock."""

    began: float = 0.0
    ended: float = 0.0
    requests: int = 0
    tokens: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def rates(self) -> str:
        return f"{self.requests / self.seconds:.2f} requests/s, {self.tokens / self.seconds:.1f} tokens/s"


@dataclass
class Findings:
    checked: int = 0
    errors: int = 0
    differing: int = 0
    wrong: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)  # by case
    deaths: Counter[str] = field(default_factory=Counter)  # by kind
    incidents: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id; the server prunes its own
    outcome: dict[str, Any] = field(default_factory=dict)  # GET /status once everything is answered


class Soak:
    def __init__(self, server: HealingServer, known: list[Case], session: aiohttp.ClientSession) -> None:
        self.server = server
        self.cases = known
        self.session = session
        self.right: dict[str, Reply] = {}
        self.findings = Findings()
        self.resources = Resources(server.front)
        self.phase: Phase | None = None  # that answers count for
        self.over = asyncio.Event()

    async def learn(self) -> None:
        """The right answers. Raises: RuntimeError if one cannot be had."""
        for case in self.cases:
            reply = await self._ask(case)
            if reply.error or not reply.tokens:
                raise RuntimeError(f"{case.name!r} cannot be answered, undisturbed: {reply.error or 'no token'}")
            self.right[case.name] = reply

    async def load(self, clients: int, undisturbed: Phase, disturbed: Phase, seconds: float, deaths: Any) -> None:
        """Run both phases; `deaths` is awaited for the second one, and cancelled at its end."""
        warm = [asyncio.Event() for _ in range(clients)]
        workers = [asyncio.create_task(self._client(number, event)) for number, event in enumerate(warm)]
        sampling = asyncio.create_task(self._sample())
        await asyncio.gather(*(event.wait() for event in warm))
        await self._run(undisturbed, seconds * UNDISTURBED_SHARE)
        killing = asyncio.create_task(deaths)
        await self._run(disturbed, seconds * (1 - UNDISTURBED_SHARE))
        self.over.set()
        killing.cancel()
        sampling.cancel()
        ended = await asyncio.gather(killing, sampling, return_exceptions=True)
        await asyncio.gather(*workers)
        for result in ended:
            if isinstance(result, Exception):
                raise result

    async def _run(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        phase.began = time.monotonic()
        await asyncio.sleep(seconds)
        phase.ended = time.monotonic()
        self.phase = None

    async def _client(self, number: int, warm: asyncio.Event) -> None:
        rng = random.Random(number)
        while not self.over.is_set():
            for case in rng.sample(self.cases, len(self.cases)):
                if self.over.is_set():
                    return
                self._check(case, await self._ask(case))
                warm.set()

    async def _ask(self, case: Case) -> Reply:
        return await ask(self.session, self.server.url + case.path, case.body)

    def _check(self, case: Case, reply: Reply) -> None:
        found = self.findings
        found.checked += 1
        found.answers[case.name] += 1
        if reply.error:
            found.errors += 1
            self._complain(f"{case.name}: {reply.error}")
        elif difference := reply.difference(self.right[case.name]):
            found.differing += 1
            self._complain(f"{case.name} differs: {difference}")
        elif self.phase is not None:
            self.phase.requests += 1
            self.phase.tokens += reply.tokens

    def _complain(self, message: str) -> None:
        self.findings.wrong.append(f"{datetime.now():%H:%M:%S} {message}")
        if len(self.findings.wrong) <= MOST_SHOWN:
            print(f"WRONG: {message[:1000]}", file=sys.stderr, flush=True)

    async def _sample(self) -> None:
        while True:
            self.resources.look()
            await asyncio.sleep(SAMPLE_SECONDS)

    # ---- deaths ------------------------------------------------------------------------------------------------------

    async def kill(self, kinds: list[str], every: float, faults: Path) -> None:
        """Have an engine die every so many seconds; one that does not serve yet is given the time to."""
        turn, due = 0, time.monotonic() + every
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            status = await self._until(lambda status: status["state"] == "ready" and status["engines"])
            due = max(due + every, time.monotonic())
            kind = kinds[turn % len(kinds)]
            turn += 1
            strike(kind, status["engines"][0]["pid"], faults)
            self.findings.deaths[kind] += 1
            await self._until(lambda now, before=status["deaths"]: now["deaths"] > before)
            self.findings.incidents |= await asyncio.to_thread(self.server.incidents)

    async def _until(self, true: Any) -> dict[str, Any]:
        while True:
            async with self.session.get(self.server.url + "/status") as response:
                status: dict[str, Any] = await response.json()
            if status["state"] == "failed":
                raise RuntimeError(f"the server has given up: {status['reason']}")
            if true(status):
                return status
            await asyncio.sleep(0.05)


async def soak(server: HealingServer, options: argparse.Namespace, faults: Path) -> tuple[Soak, Phase, Phase]:
    undisturbed, disturbed = Phase(), Phase()
    async with connect(REQUEST_LIMIT) as session:
        run = Soak(server, cases(options.model), session)
        await run.learn()
        print(f"{len(run.cases)} kinds of requests have their answers; the load begins", file=sys.stderr, flush=True)
        kinds = options.kills.split(",")
        try:
            await run.load(
                options.clients, undisturbed, disturbed, 60 * options.minutes, run.kill(kinds, options.every, faults)
            )
        except RuntimeError as error:
            run.findings.errors += 1
            run.findings.wrong.append(str(error))
            print(error, file=sys.stderr)
        await asyncio.sleep(1.0)  # reports are written beside everything else
        run.findings.outcome = await asyncio.to_thread(server.status)
        run.findings.incidents |= await asyncio.to_thread(server.incidents)
    return run, undisturbed, disturbed


def summary(run: Soak, undisturbed: Phase, disturbed: Phase) -> list[str]:
    found, outcome = run.findings, run.findings.outcome
    lines = [f"undisturbed: {undisturbed.rates}, in {undisturbed.seconds:.0f} s"]
    lines.append(f"with deaths: {disturbed.rates}, in {disturbed.seconds:.0f} s")
    if undisturbed.requests and undisturbed.tokens:
        requests = disturbed.requests / disturbed.seconds * undisturbed.seconds / undisturbed.requests
        tokens = disturbed.tokens / disturbed.seconds * undisturbed.seconds / undisturbed.tokens
        lines.append(f"ratio: {requests:.3f} of the requests/s, {tokens:.3f} of the tokens/s")
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.deaths.items())
    times = [seconds for one in found.incidents.values() if (seconds := recovery_seconds(one)) is not None]
    lines.append(
        f"deaths: {outcome['deaths']} ({kinds}), recoveries: {outcome['recoveries']}, replays: {outcome['replays']} "
        f"with {outcome['recovered_tokens']} tokens; rung at the end: {outcome['rung_name']}"
    )
    if times:
        lines.append(
            f"recovery: mean {statistics.fmean(times):.2f} s, median {statistics.median(times):.2f} s, "
            f"most {max(times):.2f} s, from {len(times)} reports"
        )
    lines.append(
        f"answers checked: {found.checked}; errors or lost: {found.errors}, differing: {found.differing}; still in "
        f"flight: {outcome['in_flight']}"
    )
    return lines + run.resources.table(disturbed.began, disturbed.ended)


def shared_memory() -> set[str]:
    """Names in /dev/shm, which other programs may use as well."""
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load, a fifth of it undisturbed")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two deaths")
    parser.add_argument("--model", type=Path, default=ROOT / "src/upright/reader")
    parser.add_argument("--kills", default="kill", help=f"in turn; there are {', '.join(KINDS)}")
    parser.add_argument("--clients", type=int, default=8, help="requests at the same time")
    parser.add_argument("--options", default="--max-model-len 4096", help="more options of `upright serve`")
    parser.add_argument("--json", type=Path, help="file for everything")
    options = parser.parse_args()
    unknown = [kind for kind in options.kills.split(",") if kind not in KINDS]
    if unknown:
        parser.error(f"unknown death {unknown[0]!r}; there are {', '.join(KINDS)}")
    return options


def main() -> None:
    options = arguments()
    directory = working_directory("soak")
    faults = directory / "faults"
    extra = shlex.split(options.options)
    if needs_faults(options.kills.split(",")):
        faults.mkdir()
        extra += ["--test-faults", str(faults)]
    memory_before = shared_memory()
    server = HealingServer(options.model, directory, *extra)
    with server:
        server.settle()
        temporary_before = server.left_behind()
        run, undisturbed, disturbed = asyncio.run(soak(server, options, faults))
        server.settle()  # the last reserve has connected, and its socket's name is gone
        temporary_after = server.left_behind()
    left = server.left_behind()
    new_memory = sorted(shared_memory() - memory_before)
    found = run.findings
    print(f"{datetime.now().astimezone().isoformat(timespec='seconds')}, {version_line()}")
    print(" ".join(["bench/soak.py", *sys.argv[1:]]))
    print("\n".join(summary(run, undisturbed, disturbed)))
    print(
        f"temporary directory: {len(temporary_before)} entries before, {len(temporary_after)} after, {len(left)} once "
        f"the server had stopped; new in /dev/shm: {len(new_memory)}"
    )
    if options.json:
        report = {
            "command": sys.argv, "version": version_line(), "undisturbed": asdict(undisturbed),
            "disturbed": asdict(disturbed), "findings": vars(found), "samples": run.resources.plain(),
            "left": left, "new_in_shared_memory": new_memory,
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    good = not (found.errors or found.differing or left or found.outcome["in_flight"])
    print("nothing was lost" if good else "SOMETHING WAS LOST, DIFFERS OR IS LEFT")
    sys.exit(not good)


if __name__ == "__main__":
    main()
