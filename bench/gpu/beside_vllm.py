#!/usr/bin/env python3
"""Upright beside vLLM on this GPU: the same loads in one run, and how they compare.

Usage: beside_vllm.py MODEL KIT [--parts engine,server] [--only WORDS] [--quick]
                      [--utilization 0.9] [-- more options of Upright]

KIT is what rivals/vllm_gpu_kit.sh unpacks. `engine` is each by itself, without HTTP; `server` is each behind HTTP, with
one client for both. Random weights in bfloat16. vLLM's start takes one to three minutes in each part. Prints a table
for each part, and what each engine takes of the memory beside weights, KV cache and graphs; JSON to
$OUT/beside_vllm.json, after every step, so that a limit of time costs no more than the rest. A card that other programs
use needs a smaller --utilization, which engines by themselves are given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memory_beside
from servers import (
    CONTEXT,
    DUMMY,
    FAILURES,
    PIXELS,
    ROOT,
    UPRIGHT,
    bench_server,
    environment,
    parsed,
    serving,
    write_json,
)

LIMIT = 540  # seconds for one engine by itself
# What is compared, and whether more of it is better
ENGINE_FIGURES = (("ms_per_step", False), ("requests_per_second", True), ("prompt_tokens_per_second", True))
SERVER_FIGURES = (
    ("requests_per_second", True), ("tokens_per_second", True), ("first_token_ms_p50", False), ("gap_ms_p99", False),
)  # fmt: skip
Rows = list[dict[str, Any]]


def engine_of_upright(options: argparse.Namespace, place: Path) -> Rows:
    file = place / "upright.json"
    more = ["--max-model-len", CONTEXT, "--max-pixels", PIXELS, *options.more, *_selection(options)]
    more += ["--gpu-memory-utilization", str(options.utilization)]
    command = [*UPRIGHT, "bench", options.model, *DUMMY, "--json", str(file), *more]
    code = ended(command, environment(), None)
    if not file.exists():
        raise RuntimeError(f"`upright bench {options.model}` measured nothing: it ended with code {code}")
    rows: Rows = json.loads(file.read_text())["rows"]
    return rows


def engine_of_vllm(options: argparse.Namespace, place: Path) -> Rows:
    file = place / "vllm.json"
    command = [sys.executable, str(ROOT / "bench/rivals/vllm_offline.py"), options.model, "--json", str(file)]
    log = place / "vllm-engine.log"
    command += ["--utilization", str(options.utilization), *_selection(options)]
    code = ended(command, environment(options.kit), log)
    if not file.exists():
        raise RuntimeError(f"code {code}: {log.read_text(errors='replace')[-1500:]}")
    rows: Rows = json.loads(file.read_text())["rows"]
    for row in rows:
        if "error" in row:
            print(f"vllm, {row['case']}: {row['error']}", flush=True)
    return rows


def ended(command: list[str], env: dict[str, str], log: Path | None) -> int | None:
    """The code of a program that has come to its end with all that it started, or None if it was ended after LIMIT:
    whatever it has written by then counts. A process left behind would hold the GPU's memory.
    """
    with log.open("w") if log is not None else contextlib.nullcontext() as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True)
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            print(f"ended after {LIMIT} s", flush=True)
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def server_of(name: str) -> Callable[[argparse.Namespace, Path], Rows]:
    def measure(options: argparse.Namespace, place: Path) -> Rows:
        more = options.more if name == "upright" else []
        with serving(name, options.model, place / f"{name}.log", *more, kit=options.kit) as server:
            print(f"{name}: healthy after {server.healthy:.1f} s", flush=True)
            return bench_server(server.url, place / f"{name}-http.json", *_selection(options))

    return measure


PARTS = {
    "engine": ("case", ENGINE_FIGURES, {"upright": engine_of_upright, "vllm": engine_of_vllm}),
    "server": ("load", SERVER_FIGURES, {"upright": server_of("upright"), "vllm": server_of("vllm")}),
}


def compare(key: str, figures: tuple[tuple[str, bool], ...], ours: Rows, theirs: Rows) -> None:
    """One line for each case; the ratio is above 1 where Upright is better."""
    rivals = {row[key]: row for row in theirs}
    print(f"| {key} | " + " | ".join(f"{name}: Upright | vLLM | ratio" for name, _ in figures) + " |")
    print("|---" * (1 + 3 * len(figures)) + "|")
    for row in ours:
        cells = [row[key]]
        for name, more_is_better in figures:
            mine, other = row.get(name), rivals.get(row[key], {}).get(name)
            ratio = (mine / other if more_is_better else other / mine) if mine and other else None
            cells += [_shown(mine), _shown(other), f"{ratio:.2f}" if ratio else "–"]
        print("| " + " | ".join(cells) + " |")


def compare_memory(place: Path) -> None:
    ours, theirs, log = place / "upright.json", place / "vllm.json", place / "vllm-engine.log"
    if ours.exists() and theirs.exists():
        parts = json.loads(ours.read_text())["peaks"]["memory"]
        utilization = json.loads(theirs.read_text())["utilization"]
        print(memory_beside.line(parts, log.read_text(errors="replace"), utilization), flush=True)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _selection(options: argparse.Namespace) -> list[str]:
    return [*(["--only", options.only] if options.only else []), *(["--quick"] if options.quick else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("kit", type=Path)
    parser.add_argument("--parts", default="engine,server")
    parser.add_argument("--only")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--utilization", type=float, default=0.9, help="share of the GPU's memory")
    options = parsed(parser)
    if options.only and "," in options.parts:
        parser.error("--only names cases of one part; say which with --parts engine, or --parts server")
    options.kit = options.kit.resolve()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        for part in options.parts.split(","):
            key, figures, engines = PARTS[part]
            found[part] = {}
            for name, measure in engines.items():
                print(f"{part}: {name}", flush=True)
                try:
                    found[part][name] = measure(options, Path(place))
                except FAILURES as error:
                    print(f"{name}: {type(error).__name__}: {error}", flush=True)
                    found[part][name] = []
                write_json("beside_vllm.json", {"model": options.model} | found)
            compare(key, figures, found[part]["upright"], found[part]["vllm"])
            if part == "engine":
                compare_memory(Path(place))


if __name__ == "__main__":
    main()
