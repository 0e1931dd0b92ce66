"""Faults on request, for tests of what survives them: files in a directory ask for one. Never in a server of users.

`load-<do>` strikes while an engine loads, once its weights are there; `step-<do>` inside its next step. Such a file is
removed before it strikes, so it strikes one engine once. `poison.json` stays and strikes every time:
`[{"token": 7, "do": "segv", "at": 3}]` is for a step that computes a sequence with token 7 in its prompt and at least 3
tokens of output. Files have to appear whole (written aside, then renamed).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from upright.engine.step import Step

POISON = "poison.json"
EXIT_CODE = 7
_HEADROOM = 32 * 2**20  # bytes of address space left when memory is to run out; the crash has to be told after it
_PIECE = 2**20


class Poison(msgspec.Struct, frozen=True):
    token: int  # in the prompt
    do: str
    at: int = 0  # output tokens at least


class Faults:
    """`hang_up` closes the socket to the front."""

    def __init__(self, directory: Path, hang_up: Callable[[], None]) -> None:
        self._directory = directory
        self._acts: dict[str, Callable[[], None]] = {
            "raise": _raise,
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "segv": _read_address_zero,
            "abort": os.abort,
            "exit": lambda: os._exit(EXIT_CODE),
            "spin": spin,
            "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
            "memory": _use_up_memory,
            "close": lambda: _hang_up_and_sleep(hang_up),
            "astray": _write_astray,
        }

    def in_load(self) -> None:
        """Between the weights and the first step."""
        self._strike_once("load-", os.listdir(self._directory))

    def in_step(self, step: Step) -> None:
        """After the black box has the step, before it is computed."""
        names = os.listdir(self._directory)
        self._strike_once("step-", names)
        if POISON not in names:
            return
        for poison in msgspec.json.decode((self._directory / POISON).read_bytes(), type=list[Poison]):
            if any(
                poison.token in chunk.sequence.request.prompt and chunk.sequence.drawn - chunk.samples >= poison.at
                for chunk in step.chunks
            ):
                self._acts[poison.do]()

    def _strike_once(self, prefix: str, names: list[str]) -> None:
        for name in sorted(names):
            act = self._acts.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
            if act is None:
                continue
            try:
                (self._directory / name).unlink()
            except FileNotFoundError:  # another engine was quicker: it was meant for one of us
                continue
            act()


def _raise() -> None:
    raise RuntimeError("a fault was asked for")


def _read_address_zero() -> None:
    ctypes.string_at(0)


def _write_astray() -> None:
    """A real illegal memory access on the GPU, which shows when the host next waits for it."""
    from upright.kernels.triton.wild_write import write_astray

    write_astray()


def spin() -> None:
    """Hold the thread for ever, as a loop without an end does."""
    while True:
        pass


def _hang_up_and_sleep(hang_up: Callable[[], None]) -> None:
    hang_up()
    while True:
        time.sleep(3600)


def _use_up_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _HEADROOM, hard))
    held: list[bytearray] = []
    try:
        while True:
            held.append(bytearray(_PIECE))
    except MemoryError:
        held.clear()  # what is left of the process still has to say what happened
        raise
