"""Where an incident happened: versions, machine and GPUs, found without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from upright import __version__
from upright.messages import EngineOptions
from upright.plan.hardware import cpu_name
from upright.plan.memory import available_memory, gib
from upright.supervise.diagnosis import exit_in_words
from upright.supervise.incidents.incident import Environment

GPU_SECONDS = 5.0  # that the driver's tool gets; after a GPU's fault it may never answer
NO_ANSWER = "nvidia-smi does not answer"
_QUERY = "--query-gpu=driver_version,name,memory.total,memory.used"


def gather(options: EngineOptions) -> Environment:
    """The environment of an engine with `options`. Blocks for milliseconds, or GPU_SECONDS with a GPU."""
    driver, gpus = _gpus() if options.device == "cuda" else (None, [])
    return Environment(
        upright=__version__,
        python=platform.python_version(),
        torch=_installed("torch"),
        platform=platform.platform(),
        cpu=cpu_name() or platform.processor() or platform.machine(),
        cores=_cores(),
        memory_total=_total_memory(),
        memory_available=available_memory(),
        driver=driver,
        gpus=gpus,
        model=options.model_path,
        options=msgspec.to_builtins(options),
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _total_memory() -> int:
    """Main memory in bytes, within the container's limit; 0 where it cannot be told."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text()))
        except (OSError, ValueError):
            continue  # no such cgroup version here, or "max"
    return total


def _gpus() -> tuple[str | None, list[str]]:
    """The driver's version, and one line for each GPU; where the tool fails, one line that says so."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None, []
    try:
        answer = _output([tool, _QUERY, "--format=csv,noheader,nounits"], GPU_SECONDS)
        rows = [line.split(", ") for line in answer.splitlines() if line.strip()]
        gpus = [f"{name}, {_used(used)} of {gib(int(total) * 2**20)} in use" for _, name, total, used in rows]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return None, [f"{NO_ANSWER}: {error}"]
    return (rows[0][0] if rows else None), gpus


def _used(mebibytes: str) -> str:
    return gib(int(mebibytes) * 2**20)


def _output(command: list[str], seconds: float) -> str:
    """What `command` prints. Raises: OSError, SubprocessError.

    Not `subprocess.run`: after its timeout that waits for the process to end, and one that is stuck in a broken
    driver never does.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise subprocess.SubprocessError(f"no answer within {seconds:.0f} s") from error
    text = output.decode(errors="replace")
    if process.returncode:
        raise subprocess.SubprocessError(text.strip() or exit_in_words(process.returncode))
    return text
