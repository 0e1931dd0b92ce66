"""Servers to measure on a GPU: `upright serve` of this checkout, and vLLM from a kit (see rivals/vllm_gpu_kit.sh)."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
UPRIGHT = [sys.executable, "-m", "upright"]
DUMMY = ["--load-format", "dummy"]
CONTEXT = "8192"  # tokens of one sequence, for both
PIXELS = "2007040"  # of the largest image, for both
# What may go wrong with one server, and is told while the rest is measured
FAILURES = (RuntimeError, OSError, subprocess.SubprocessError, ValueError, LookupError)
START_LIMIT = 400.0  # seconds; vLLM with empty caches compiles for minutes
LOADS_LIMIT = 400.0  # seconds, for all loads of a server


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line; what comes after `--` is in `more`, for the server."""
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end])
    options.more = given[end + 1 :]
    return options


def environment(kit: Path | None = None) -> dict[str, str]:
    """With this checkout, and the kit's packages behind it, on the path."""
    paths = [str(ROOT / "src"), *([str(kit / "site"), str(kit / "site2")] if kit is not None else [])]
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*paths, known] if known else paths)
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    rival = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_NO_USAGE_STATS": "1"} if kit is not None else {}
    return os.environ | quiet | rival | {"PYTHONPATH": path}


@dataclass
class Server:
    url: str
    began: float  # monotonic, when the command was given
    healthy: float  # seconds from the command to the first 200 of /health


def upright_command(model: str, port: int, *more: str) -> list[str]:
    given = ["serve", model, "--port", str(port), "--max-model-len", CONTEXT, "--max-pixels", PIXELS, *more]
    return [*UPRIGHT, *given, *(() if "--load-format" in more else DUMMY)]


def vllm_command(model: str, port: int, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", model, "--port", str(port), *DUMMY,
        "--dtype", "bfloat16", "--max-model-len", CONTEXT, "--max-num-seqs", "256", "--limit-mm-per-prompt",
        '{"image":1,"video":0}', "--mm-processor-kwargs", json.dumps({"max_pixels": int(PIXELS)}), *more,
    ]  # fmt: skip


@contextlib.contextmanager
def serving(name: str, model: str, log: Path, *more: str, kit: Path | None = None, **env: str) -> Iterator[Server]:
    """A server that answers; gone, with all its processes, when the block ends. Raises: RuntimeError."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = (vllm_command if name == "vllm" else upright_command)(model, port, *more)
    began = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            env=environment(kit if name == "vllm" else None) | env,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        while status(url + "/health") != 200:
            if process.poll() is not None or time.monotonic() - began > START_LIMIT:
                tail = log.read_text(errors="replace")[-1500:]
                raise RuntimeError(f"{name} does not serve (exit code {process.poll()}):\n{tail}")
            time.sleep(0.02)
        yield Server(url, began, time.monotonic() - began)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left behind, if anything
        process.wait()


def status(url: str) -> int:
    """HTTP status; 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def bench_server(url: str, file: Path, *more: str) -> list[dict[str, Any]]:
    """Rows of `upright bench --http`. Raises: CalledProcessError, TimeoutExpired."""
    command = [*UPRIGHT, "bench", "--http", url, "--json", str(file), *more]
    subprocess.run(command, env=environment(), check=True, timeout=LOADS_LIMIT)
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"]
    return rows


def write_json(name: str, found: object) -> None:
    """Into $OUT where that is set."""
    out = os.environ.get("OUT")
    if out:
        (Path(out) / name).write_text(json.dumps(found, indent=2) + "\n")
