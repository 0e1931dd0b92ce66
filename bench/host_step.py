#!/usr/bin/env python3
"""What a step costs the engine's host: everything but the device, in microseconds, by part.

Usage: host_step.py [--sequences 256] [--steps 2000] [--tokens 0] [--prompt 1000] [--no-overlap] [--profile]

The real core (scheduler, pace, black box, messages) drives a runner that computes nothing. With `--tokens 0` the same
sequences decode in every step; otherwise each ends after so many tokens and another arrives in its place, as in a
server under load. Figures are processor time of the engine's thread; the 5th percentile is what a quiet machine does.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any

import torch
import zmq

from upright.engine.black_box import SIZE, BlackBox, nameless_file
from upright.engine.core import EngineCore
from upright.engine.link import Link
from upright.engine.recorder import Recorder
from upright.engine.runner import StepResult
from upright.engine.scheduler import SchedulerLimits
from upright.engine.step import Step
from upright.messages import Request, SamplingParams, StepDone
from upright.models.model_config import DecoderConfig, GenerationDefaults, ModelConfig, RopeConfig

BLOCK_SIZE = 16
FOR_EVER = 30_000  # tokens: more than there are steps
PARTS = ("schedule", "record", "launch", "complete", "outputs", "send")
WARM_UP = 50  # steps


class NoDevice:
    """A runner whose tokens are there at once. `launch` and `collect` cost what a call costs."""

    def __init__(self, blocks: int) -> None:
        rope = RopeConfig("default", 1e6, (16, 24, 24))
        decoder = DecoderConfig(896, 4864, 24, 14, 2, 64, 151936, 1e-6, rope, True, False, False, True, 32768)
        config = ModelConfig("", decoder, None, None, "bfloat16", (), None, None, GenerationDefaults())
        self.model = SimpleNamespace(config=config, dtype=torch.bfloat16)
        self.blocks = blocks
        self.images = SimpleNamespace(on_way=())
        self.cache = SimpleNamespace(blocks=blocks, block_size=BLOCK_SIZE)

    def launch(self, step: Step, evicted: list[bytes]) -> StepResult:
        count = len(step.chunks) if step.decodes else sum(chunk.samples for chunk in step.chunks)
        return StepResult([1000] * count, [None] * count)

    def collect(self, launched: StepResult) -> StepResult:
        return launched

    def finished_encodings(self) -> list[bytes]:
        return []

    def needs_output(self, sequence: object) -> bool:
        return False

    def forget(self, sequence: object) -> None:
        pass


class Clocks:
    """Time spent in functions in the step that is under way, by part; what one spends inside another is not its own."""

    def __init__(self) -> None:
        self.now: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._inner = 0.0

    def on(self, owner: Any, function: str, part: str) -> None:
        timed: Callable[..., Any] = getattr(owner, function)

        def run(*given: Any, **named: Any) -> Any:
            outer, self._inner = self._inner, 0.0
            began = time.thread_time()
            try:
                return timed(*given, **named)
            finally:
                spent = time.thread_time() - began
                self.now[part] += spent - self._inner
                self._inner = outer + spent

        setattr(owner, function, run)


def measure(options: argparse.Namespace) -> dict[str, tuple[float, float, float]]:
    """Percentiles in microseconds, by part."""
    from upright.engine import core as core_module

    most = options.prompt + FOR_EVER
    per_sequence = -(-(options.prompt + (options.tokens or options.steps + WARM_UP) + 2) // BLOCK_SIZE)
    blocks = max(-(-most // BLOCK_SIZE), options.sequences * (per_sequence + 2))
    limits = SchedulerLimits(most, options.sequences, 8192 + options.sequences, 8192)
    core = EngineCore(NoDevice(blocks), limits, 0, overlap=not options.no_overlap)  # type: ignore[arg-type]
    core.recorder = Recorder(BlackBox(nameless_file(SIZE)))
    clocks = Clocks()
    if not options.profile:
        for owner, function, part in (
            (core.scheduler, "schedule", "schedule"), (core.recorder, "begin_step", "record"),
            (core.recorder, "end_step", "record"), (core.recorder, "beat", "record"), (core._work, "of", "record"),
            (core.pace, "expected", "record"), (core.pace, "learn", "record"), (core, "_launch", "launch"),
            (core.scheduler, "complete", "complete"), (core_module, "_outputs", "outputs"),
        ):  # fmt: skip
            clocks.on(owner, function, part)
    submitted = 0

    def submit() -> None:
        nonlocal submitted
        tokens = FOR_EVER if not options.tokens else options.tokens
        if options.tokens and submitted < options.sequences:  # they shall not all end together
            tokens = 1 + submitted * options.tokens // options.sequences
        params = SamplingParams(seed=submitted, max_tokens=tokens, temperature=0.7, end_token_ids=(151643, 151645))
        prompt = [(submitted * 7919 + at) % 150_000 for at in range(options.prompt)]
        core.submit(Request(id=f"chatcmpl-{submitted:032x}", prompt=prompt, params=params))
        submitted += 1

    with tempfile.TemporaryDirectory() as directory:
        address = f"ipc://{directory}/front"
        front = zmq.Context.instance().socket(zmq.DEALER)
        front.setsockopt(zmq.RCVHWM, 0)
        front.bind(address)
        link = Link(address)
        clocks.on(link, "send", "send")
        for _ in range(options.sequences):
            submit()
        while core.scheduler.waiting:
            core.step()
        rows: list[dict[str, float]] = []
        profile = cProfile.Profile()
        ended = 0
        for number in range(WARM_UP + options.steps):
            for _ in range(ended):
                submit()
            clocks.now = dict.fromkeys(PARTS, 0.0)
            if options.profile and number == WARM_UP:
                profile.enable()
            began = time.thread_time()
            several, plain = core.step()
            link.send(StepDone(several, core.stats(), plain))
            whole = time.thread_time() - began
            rows.append(clocks.now | {"all": whole})
            ended = sum(output.finish is not None for output in several)
            while front.poll(0):
                front.recv()
        profile.disable()
        link.close()
        front.close(0)
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)
    kept = rows[WARM_UP:]
    return {part: _percentiles([1e6 * row[part] for row in kept]) for part in (*PARTS, "all")}


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    """The 5th, 50th and 99th."""
    steps = quantiles(values, n=100)
    return steps[4], median(values), steps[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=0, help="of each answer; 0: without end")
    parser.add_argument("--prompt", type=int, default=1000, help="tokens of each prompt")
    parser.add_argument("--no-overlap", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    result = measure(options)
    print(f"{datetime.now().astimezone().isoformat(timespec='seconds')}, Python {platform.python_version()}, {options}")
    print("| part of a step, µs | 5th percentile | median | 99th |\n|---|---|---|---|")
    for part, microseconds in result.items():
        print(f"| {part} | " + " | ".join(f"{value:.0f}" for value in microseconds) + " |")
    if out := os.environ.get("OUT"):
        (Path(out) / "host_step.json").write_text(json.dumps({"options": vars(options), "microseconds": result}))


if __name__ == "__main__":
    main()
