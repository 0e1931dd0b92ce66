#!/usr/bin/env python3
"""What a step costs the engine's host: everything but the device, in microseconds, by part.

Usage: host_step.py [--model DIR] [--sequences 256] [--steps 2000] [--tokens 0] [--prompt 1000] [--no-overlap]
                    [--profile]

The real core (scheduler, pace, black box, messages) drives a runner that computes nothing; with `--model` that of a
model in its real shape, with random weights, on the GPU if there is one: then `launch` is what it costs to hand a step
to the device, and waiting for one is not counted. With `--tokens 0` the same sequences decode in every step; otherwise
each ends after so many tokens and another arrives in its place, as in a server under load. Figures are processor time
of the engine's thread; the 5th percentile is what a quiet machine does.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
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
from upright.messages import EngineOptions, Request, SamplingParams, StepDone
from upright.models.model_config import DecoderConfig, GenerationDefaults, ModelConfig, RopeConfig

BLOCK_SIZE = 16
FOR_EVER = 30_000  # tokens: more than there are steps
WAIT = "wait"  # for the device: no work of the host's
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
        return StepResult([1000] * len(step.drawing), [None] * len(step.drawing))

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
        self.now: dict[str, float] = {}
        self.start()
        self._inner = 0.0

    def start(self) -> None:
        """Another step."""
        self.now = dict.fromkeys((*PARTS, WAIT), 0.0)

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


def idle_core(options: argparse.Namespace) -> EngineCore:
    """One whose runner computes nothing."""
    most = options.prompt + FOR_EVER
    per_sequence = -(-(options.prompt + (options.tokens or options.steps + WARM_UP) + 2) // BLOCK_SIZE)
    blocks = max(-(-most // BLOCK_SIZE), options.sequences * (per_sequence + 2))
    limits = SchedulerLimits(most, options.sequences, 8192 + options.sequences, 8192)
    return EngineCore(NoDevice(blocks), limits, 0, overlap=not options.no_overlap)  # type: ignore[arg-type]


def model_core(options: argparse.Namespace) -> EngineCore:
    """One that runs a model with random weights."""
    from upright.engine.startup import start_engine

    gpu = torch.cuda.is_available()
    given = EngineOptions(
        model_path=options.model, device="cuda" if gpu else "cpu", dtype="bfloat16" if gpu else "float32",
        load_format="dummy", max_model_len=options.prompt + FOR_EVER, max_num_seqs=options.sequences,
        max_num_batched_tokens=8192 + options.sequences, kv_cache_bytes=2**34 if gpu else 2**30, block_size=BLOCK_SIZE,
        max_pixels=None, seed=0, overlap=not options.no_overlap, graphs=True,
    )  # fmt: skip
    core, _ = start_engine(given, lambda progress: None)
    while core.runner.idle():
        pass
    return core


def measure(options: argparse.Namespace) -> dict[str, tuple[float, float, float]]:
    """Percentiles in microseconds, by part."""
    from upright.engine import core as core_module

    core = model_core(options) if options.model else idle_core(options)
    core.recorder = Recorder(BlackBox(nameless_file(SIZE)))
    gc.collect()
    gc.freeze()  # as an engine that serves does
    clocks = Clocks()
    if not options.profile:
        for owner, function, part in (
            (core.scheduler, "schedule", "schedule"), (core.recorder, "begin_step", "record"),
            (core.recorder, "end_step", "record"), (core.recorder, "beat", "record"), (core._work, "of", "record"),
            (core.pace, "expected", "record"), (core.pace, "learn", "record"), (core, "_launch", "launch"),
            (core.scheduler, "complete", "complete"), (core_module, "_outputs", "outputs"),
            (core.runner, "collect", WAIT),
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
            clocks.start()
            if options.profile and number == WARM_UP:
                profile.enable()
            began = time.thread_time()
            several, plain = core.step()
            link.send(StepDone(several, core.stats(), plain))
            whole = time.thread_time() - began
            rows.append(clocks.now | {"all": whole - clocks.now[WAIT]})
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
    parser.add_argument("--model", metavar="DIR", help="with its real runner")
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
