#!/usr/bin/env python3
"""The tests of the Triton kernels under compute-sanitizer: memory errors, and races in shared memory.

Usage: sanitize.py [--tools memcheck,racecheck] [--processes N] [--seconds N] [--limit SECONDS] [--allow-copies]
                   [--sanitizer FILE]

The tests compare every kernel with its plain-torch reference, so one run checks what a kernel computes and what it
touches. They run in bfloat16, float16 and float32, several processes at once and each under a sanitizer of its own.
In the round in float16, kernels are those that older cards get, as far as they differ; what `portable` takes is in
both. Tests of CUDA graphs are left out, as memory is not cached.
Memory is allocated tensor by tensor with padding between, so that a step beyond a tensor is seen. Kernels of torch and
cuBLAS are not looked at. Beside the tests run planted faults, which have to be found.

Triton's reductions let several threads store copies of one value (triton-lang/triton#7264), which racecheck calls a
race of an instruction with itself where they differ in the last bit. Such errors are told apart; --allow-copies lets
them pass. Where warps have work of their own, Triton hands it to them through shared memory and barriers by number,
which racecheck does not follow: races of which every access lies in a call of `warp_specialize`, or where its function
begins, are told apart too, and pass. A kernel that has nothing else shows that they are Triton's.

racecheck takes every third test of each function, because it is slow, and leaves one out: where a whole tower runs,
with cuBLAS, the sanitizer of CUDA 13.0 fails by itself. After --seconds no test begins; what is left then is told.

The exit code is 0 only if every test passes, nothing is found in it, each kernel of kernels/triton was launched, and
the planted faults were found. $OUT, where set, gets sanitize.json, and a tar file of the logs of what went wrong.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

from sanitizer_log import Summary, read_log
from servers import ROOT, environment, write_json

HERE = Path(__file__).resolve().parent
KERNELS = ROOT / "src/upright/kernels/triton"
FOUND = 86  # the exit code of a sanitizer that has something to say; pytest has no such code
PLACES = ("/usr/local/cuda/bin/compute-sanitizer", "/opt/nvidia/compute-sanitizer/compute-sanitizer")
ATTENTION = "tests/kernels/test_triton_attention.py"
TESTS = (
    ATTENTION,
    "tests/kernels/test_triton_elementwise.py",
    "tests/kernels/test_triton_fused_linear.py",
    "tests/kernels/test_triton_vision.py",
    "tests/engine/test_sampling_on_device.py",
)
# The type where a test wants 16 bits, the tests, and their share of the processes. The second is as on an older card
ROUNDS = (("bfloat16", TESTS, 0.6), ("float16", TESTS[:3], 0.4))
EVERY = {"memcheck": 1, "racecheck": 3}  # tests of a function of which one is run
LEFT_OUT = {"memcheck": "", "racecheck": "test_a_tower_of_these_kernels"}  # its kernels are in other tests too
PLANTED = {"memcheck": ("astray", "past"), "racecheck": ("race",)}
INNOCENT = {"memcheck": (), "racecheck": ("handed",)}
COMMON = [
    "--target-processes", "application-only",  # not the compilers that Triton starts
    "--kernel-name", "regex=^_[a-z]",  # ours; names in C++ begin with _Z
    "--error-exitcode", str(FOUND), "--launch-timeout", "300", "--print-limit", "1000", "--show-backtrace", "device",
]  # fmt: skip
OWN = {
    "memcheck": ["--report-api-errors", "no", "--padding", "4096", "--destroy-on-device-error", "kernel"],
    "racecheck": ["--racecheck-num-workers", "1"],
}
PORTS = 16  # of one sanitizer; the next begins after them
SHOWN = 30  # complaints


@dataclass
class Job:
    """A process under a sanitizer: a share of the tests, or a planted fault, or what only looks like one."""

    name: str
    command: list[str]
    place: Path
    planted: bool = False
    innocent: bool = False  # no tests, and no fault
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    code: int | None = None  # None: it ran past the limit
    seconds: float = 0.0

    @property
    def log(self) -> Path:
        return self.place / f"{self.name}.sanitizer.log"

    @property
    def output(self) -> Path:
        return self.place / f"{self.name}.output.log"

    @property
    def counts(self) -> Path:
        return self.place / f"{self.name}.json"

    def start(self, out: IO[bytes]) -> None:
        env = environment() | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "OMP_NUM_THREADS": "1"} | self.env
        env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(HERE), str(ROOT)])
        self.process = subprocess.Popen(self.command, stdout=out, stderr=out, env=env, cwd=ROOT, start_new_session=True)

    def summary(self) -> Summary:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return read_log(text, handovers(KERNELS) | handovers(HERE))

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.counts.read_text()) if self.counts.exists() else {}
        return found

    def trouble(self, copies: bool) -> str:
        """What is wrong with it, in words; empty if it is as it should be. `copies`: whether those may be stored."""
        summary = self.summary()
        if self.code is None:
            return "ran past the limit"
        if not summary.ended:
            return f"the sanitizer came to no end (exit code {self.code}): {self.tail()}"
        if self.planted:
            hit = summary.errors > 0 and any("_write" in one or "_race" in one for one in summary.complaints)
            return "" if hit else f"the planted fault was not found (exit code {self.code}): {self.tail()}"
        if summary.errors > summary.handed + (summary.copies if copies else 0):
            return f"{summary.errors} errors"
        if self.innocent:
            return "" if self.code in (0, FOUND) else f"exit code {self.code}: {self.tail()}"
        outcomes = self.told().get("outcomes", {})
        if not outcomes or outcomes.get("failed") or self.code not in (0, FOUND):
            return f"exit code {self.code}, tests: {outcomes}: {self.tail()}"
        return ""

    def tail(self) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])


def jobs_of(tool: str, sanitizer: str, processes: int, seconds: float, place: Path) -> list[Job]:
    def sanitized(name: str, *program: str) -> list[str]:
        log = str(place / f"{name}.sanitizer.log")
        port = str(40000 + PORTS * len(jobs))
        return [sanitizer, "--tool", tool, *COMMON, *OWN[tool], "--port", port, "--log-file", log, *program]

    jobs: list[Job] = []
    for dtype, files, portion in ROUNDS:
        count = max(1, round(processes * portion))
        for index in range(count):
            name = f"{tool}-{dtype}-{index}"
            pytest = [sys.executable, "-m", "pytest", "-q", "-p", "sanitized_tests", "-p", "no:cacheprovider", *files]
            env = {
                "UPRIGHT_SHARE": f"{index}/{count}", "UPRIGHT_EVERY": str(EVERY[tool]),
                "UPRIGHT_SECONDS": str(seconds), "UPRIGHT_LEFT_OUT": LEFT_OUT[tool],
                "UPRIGHT_LAUNCHES": str(place / f"{name}.json"),
                "UPRIGHT_TEST_HALF": dtype, "UPRIGHT_OLDER": str(int(dtype == "float16")),
            }  # fmt: skip
            jobs.append(Job(name, sanitized(name, *pytest), place, env=env))
    for fault in (*PLANTED[tool], *INNOCENT[tool]):
        planted = fault in PLANTED[tool]
        name = f"{tool}-planted-{fault}" if planted else f"{tool}-{fault}"
        program = [sys.executable, str(HERE / "planted_faults.py"), fault]
        jobs.append(Job(name, sanitized(name, *program), place, planted=planted, innocent=not planted))
    return jobs


def run_all(jobs: list[Job], limit: float) -> None:
    """At once; what is not done in `limit` seconds is killed."""
    began = time.monotonic()
    try:
        for job in jobs:
            with job.output.open("wb") as out:
                job.start(out)
        while (running := [job for job in jobs if not job.seconds]) and time.monotonic() - began < limit:
            for job in running:
                assert job.process is not None
                if (code := job.process.poll()) is not None:
                    job.code, job.seconds = code, time.monotonic() - began
            time.sleep(0.1)
    finally:
        for job in jobs:
            if job.process is not None and job.process.poll() is None:
                os.killpg(job.process.pid, signal.SIGKILL)
                job.process.wait()
                job.seconds = time.monotonic() - began


def launched_kernels(directory: Path) -> set[str]:
    """`file.kernel` of whatever is launched as `kernel[grid](…)` in these files, but for the fault on request."""
    found = set()
    for file in directory.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
                kernel = node.func.value
                if isinstance(kernel, ast.Name) and kernel.id.startswith("_"):
                    found.add(f"{file.stem}.{kernel.id}")
    return found - {"wild_write._write"}


@cache
def handovers(directory: Path) -> dict[str, list[tuple[int, int]]]:
    """By file: the lines of calls of `warp_specialize`, and those where functions with one begin, which is where other
    warps wait for their work.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for file in directory.glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            for node in ast.walk(function) if isinstance(function, ast.FunctionDef) else ():
                called = node.func if isinstance(node, ast.Call) else None
                if isinstance(called, ast.Attribute) and called.attr == "warp_specialize":
                    lines = (called.lineno, node.end_lineno or called.lineno)
                    found.setdefault(file.name, []).extend([(function.lineno, function.lineno), lines])
    return found


def check(tool: str, jobs: list[Job], kernels: set[str], copies: bool) -> tuple[dict[str, Any], list[str]]:
    """What came of a tool's jobs, and what is wrong."""
    tests = [job for job in jobs if not job.planted and not job.innocent]
    summaries = [job.summary() for job in tests]
    launches: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for job in tests:
        launches.update(job.told().get("launches", {}))
        outcomes.update(job.told().get("outcomes", {}))
    by_kernel: dict[str, dict[str, int]] = {}
    for name, count in sorted(launches.items()):
        kernel, dtypes = name.split(" ")
        by_kernel.setdefault(kernel, {})[dtypes] = count
    missing = sorted(kernels - by_kernel.keys())
    wrong = [f"{job.name}: {trouble}" for job in jobs if (trouble := job.trouble(copies))]
    handed = sum(summary.handed for summary in summaries)
    if handed and not any(job.summary().handed for job in jobs if job.innocent):
        wrong.append("what is taken for Triton's handing over was not found where there is nothing else")
    wrong += [f"never launched: {', '.join(missing)}"] if missing else []
    complaints = list(dict.fromkeys(one for summary in summaries for one in summary.complaints))
    found = {
        "tool": tool,
        "processes": len(tests),
        "tests": dict(outcomes),
        "launches": launches.total(),
        "kernels": by_kernel,
        "errors": sum(summary.errors for summary in summaries),
        "of one instruction with itself": sum(summary.copies for summary in summaries),
        "of Triton's handing over": handed,
        "warnings": sum(summary.warnings for summary in summaries),
        "complaints": complaints,
        "planted": {job.name: list(job.summary().complaints) for job in jobs if job.planted or job.innocent},
        "wrong": wrong,
        "seconds": {job.name: round(job.seconds, 1) for job in jobs},
    }
    return found, wrong


def show(found: dict[str, Any]) -> None:
    dtypes = sorted({dtype for one in found["kernels"].values() for key in one for dtype in key.split(",") if dtype})
    told = ", ".join(f"{count} {outcome}" for outcome, count in found["tests"].items()) or "none told of"
    apart = ", ".join(
        f"{found[kind]} {kind}" for kind in ("of one instruction with itself", "of Triton's handing over")
    )
    print(
        f"{found['tool']}: {found['launches']:,} launches of {len(found['kernels'])} kernels in {', '.join(dtypes)}; "
        f"tests: {told}; {found['errors']} errors ({apart}), {found['warnings']} warnings; "
        f"{max(found['seconds'].values()):.0f} s; {'NOT CLEAN' if found['wrong'] else 'clean'}"
    )
    for name, complaints in found["planted"].items():
        print(f"    {name}: {complaints[0] if complaints else 'not found'}")
    for line in [*found["wrong"], *found["complaints"][:SHOWN]]:
        print(f"    {line}")
    sys.stdout.flush()


def keep_logs(tool: str, jobs: list[Job]) -> None:
    out = os.environ.get("OUT")
    if not out:
        return
    with tarfile.open(Path(out) / f"{tool}-logs.tar.gz", "w:gz") as packed:
        for job in jobs:
            if job.planted or job.innocent or job.trouble(copies=False):
                for file in (job.log, job.output):
                    if file.exists():
                        packed.add(file, file.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default="memcheck,racecheck")
    parser.add_argument("--processes", type=int, default=max(2, (os.cpu_count() or 4) - 2))
    parser.add_argument("--seconds", type=float, default=180.0, help="after which no test of a tool begins")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds after which a tool is killed")
    parser.add_argument("--allow-copies", action="store_true", help="see above")
    parser.add_argument("--sanitizer", default=shutil.which("compute-sanitizer"))
    options = parser.parse_args()
    sanitizer = options.sanitizer or next((place for place in PLACES if Path(place).exists()), None)
    if sanitizer is None:
        sys.exit("there is no compute-sanitizer on PATH or in CUDA's directory; give its file with --sanitizer")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started ends with it
    kernels = launched_kernels(KERNELS)
    everything, failed = [], False
    with tempfile.TemporaryDirectory() as directory:
        for tool in options.tools.split(","):
            jobs = jobs_of(tool, sanitizer, options.processes, options.seconds, Path(directory))
            run_all(jobs, options.limit)
            found, wrong = check(tool, jobs, kernels, options.allow_copies)
            show(found)
            keep_logs(tool, jobs)
            everything.append(found)
            failed = failed or bool(wrong)
            write_json("sanitize.json", everything)  # after each, so that a limit of time costs the rest alone
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
