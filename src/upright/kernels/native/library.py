"""Compiles the C kernels with the machine's own compiler, once, and loads them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("decoder.c")
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC")
COMPILE_SECONDS = 60  # at most; it takes about one


class NativeUnavailable(Exception):
    """The C kernels cannot serve here; the message says why."""


def load_library() -> ctypes.CDLL:
    """The library, compiled on the first call for this processor, compiler and source. Raises: NativeUnavailable.

    OpenMP's runtime is torch's own, which is loaded already: two of them would fight for the cores.
    """
    compiler = _compiler()
    path = _cache_directory() / f"decoder-{_fingerprint(compiler)}.so"
    if not path.exists():
        _compile(compiler, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeUnavailable(f"{path} cannot be loaded: {error}") from error


def _compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise NativeUnavailable(f"no C compiler ({command[0]}) is installed; install gcc, or set CC")
    return command


def _fingerprint(compiler: list[str]) -> str:
    """Changes with whatever the compiled code depends on: source, flags, compiler, processor."""
    digest = hashlib.sha256(SOURCE.read_bytes())
    path = shutil.which(compiler[0]) or compiler[0]
    digest.update(repr((FLAGS, compiler, os.path.realpath(path), platform.machine(), _processor())).encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """The processor's model and instruction sets, as the kernel lists them; the cache may be on a shared home."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _cache_directory() -> Path:
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise NativeUnavailable(f"there is no place to keep it: {error}; set XDG_CACHE_HOME") from error
    return base / "upright" / "native"


def _compile(compiler: list[str], path: Path) -> None:
    """Compile to `path`, which appears whole or not at all: several processes may start at the same time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            target = Path(work) / "decoder.so"
            command = [*compiler, *FLAGS, str(SOURCE), "-o", str(target), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
            if done.returncode:
                first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
                raise NativeUnavailable(f"{compiler[0]} does not compile it: {first}")
            target.replace(path)
    except (OSError, subprocess.SubprocessError) as error:
        raise NativeUnavailable(f"it cannot be compiled: {error}") from error
