"""What this machine has, found without touching a GPU and without importing torch."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Gpu:
    name: str
    total_bytes: int
    capability: tuple[int, int]


@dataclass(frozen=True)
class Hardware:
    """`why_no_gpu` says why `gpus` is empty."""

    gpus: tuple[Gpu, ...]
    why_no_gpu: str = ""


def probe() -> Hardware:
    """The GPUs that the driver's own tool lists. It costs a process, so it is not called for `--device cpu`."""
    tool = shutil.which("nvidia-smi")
    if tool is None or not (Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()):
        return Hardware((), "no NVIDIA driver is installed")
    try:
        if version("torch").endswith("+cpu"):
            return Hardware((), "the installed PyTorch is built for the CPU only")
    except PackageNotFoundError:
        return Hardware((), "PyTorch is not installed")
    query = [tool, "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        return Hardware(tuple(_parse(line) for line in answer.splitlines() if line.strip()))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Hardware((), f"nvidia-smi does not answer: {error}")


def cpu_name() -> str:
    """The processor's name; empty where the kernel does not give it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _parse(line: str) -> Gpu:
    name, mebibytes, capability = (part.strip() for part in line.rsplit(",", 2))
    major, minor = capability.split(".")
    return Gpu(name, int(mebibytes) * 2**20, (int(major), int(minor)))
