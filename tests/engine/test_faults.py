"""Faults on request, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from upright.engine.faults import EXIT_CODE, Faults

CHILD = """
import sys
from pathlib import Path
from upright.engine.faults import Faults
print("child", flush=True)
Faults(Path(sys.argv[1]), lambda: print("hung up", flush=True)).in_load()
"""


def child(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "child\n"
    return process


@pytest.mark.parametrize(
    ("do", "code", "said"),
    [
        ("raise", 1, "RuntimeError: a fault was asked for"),
        ("memory", 1, "MemoryError"),
        ("exit", EXIT_CODE, ""),
        ("kill", -signal.SIGKILL, ""),
        ("segv", -signal.SIGSEGV, ""),
        ("abort", -signal.SIGABRT, ""),
    ],
)
def test_faults_that_end_a_process(tmp_path: Path, do: str, code: int, said: str) -> None:
    (tmp_path / f"load-{do}").touch()
    process = child(tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert said in errors
    assert not list(tmp_path.iterdir())


def test_a_stopped_process(tmp_path: Path) -> None:
    (tmp_path / "load-stop").touch()
    process = child(tmp_path)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.kill()
    process.communicate()


def test_a_process_that_hangs_up_lives_on(tmp_path: Path) -> None:
    (tmp_path / "load-close").touch()
    process = child(tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "hung up\n"
    assert process.poll() is None
    process.kill()
    process.communicate()


def step(*sequences: tuple[list[int], int]) -> Any:
    """A step of sequences with these prompts, and so many tokens of output."""
    chunks = [
        SimpleNamespace(sequence=SimpleNamespace(request=SimpleNamespace(prompt=prompt), drawn=made + 1), samples=True)
        for prompt, made in sequences
    ]
    return SimpleNamespace(chunks=chunks)


def test_a_fault_strikes_where_it_was_asked_for_and_once(tmp_path: Path) -> None:
    faults = Faults(tmp_path, lambda: None)
    (tmp_path / "step-raise").touch()
    (tmp_path / "step-unknown").touch()
    faults.in_load()
    with pytest.raises(RuntimeError):
        faults.in_step(step())
    faults.in_step(step())


def test_a_fault_that_another_process_took_is_not_ours(tmp_path: Path) -> None:
    faults = Faults(tmp_path, lambda: None)
    faults._strike_once("step-", ["step-raise"])  # listed, then gone


def test_poison_strikes_every_time_and_only_its_own(tmp_path: Path) -> None:
    faults = Faults(tmp_path, lambda: None)
    (tmp_path / "poison.json").write_text('[{"token": 7, "do": "raise", "at": 2}]')
    faults.in_step(step(([1, 2], 5), ([7], 1)))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            faults.in_step(step(([1, 2], 5), ([3, 7], 2)))
