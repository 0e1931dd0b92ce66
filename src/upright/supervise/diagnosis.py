"""How an engine ended, from what is left of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from upright.messages import Crashed, StartFailed
from upright.supervise.policy import Cause
from upright.supervise.watch import Hang

# Nothing in a process does these to itself by accident: a person, a supervisor or the kernel does.
OUTSIDE_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGSTOP})


@dataclass(frozen=True)
class Remains:
    """What is known of an engine that has ended."""

    exit_code: int  # of the process; negative: killed by that signal
    hang: Hang | None = None  # why the front ended it, where it did
    crashed: Crashed | None = None  # its last words
    refused: StartFailed | None = None
    oom_kills: int | None = None  # that the kernel counted while it ran; None: it cannot be known


@dataclass(frozen=True)
class Diagnosis:
    cause: Cause
    how: str  # for a person: "killed by SIGSEGV"
    signal: str | None = None
    exit_code: int | None = None


def diagnose(remains: Remains) -> Diagnosis:
    """The cause, told from the surest sign there is."""
    killed_by = -remains.exit_code if remains.exit_code < 0 else None
    name = signal_name(killed_by) if killed_by is not None else None
    code = remains.exit_code if killed_by is None else None
    if remains.hang is not None:
        return Diagnosis(remains.hang.cause, remains.hang.how, name, code)
    if remains.refused is not None:
        return Diagnosis("memory" if remains.refused.memory else "crash", remains.refused.message, name, code)
    if remains.crashed is not None:
        return Diagnosis("memory" if remains.crashed.memory else "crash", remains.crashed.exception, name, code)
    if killed_by is None:
        return Diagnosis("crash", exit_in_words(remains.exit_code), None, code)
    how = exit_in_words(remains.exit_code)
    if killed_by == signal.SIGKILL:
        if remains.oom_kills == 0:
            return Diagnosis("outside", how, name)
        return Diagnosis("memory", f"{how}, as the kernel does when memory runs out", name)
    return Diagnosis("outside" if killed_by in OUTSIDE_SIGNALS else "crash", how, name)


def exit_in_words(code: int) -> str:
    """How a process ended, of its exit code as Python has it: negative for a signal."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal_name(-code)}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def count_oom_kills() -> int | None:
    """Processes that the kernel has killed for lack of memory, in all; None where it does not say."""
    for file in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):  # the first counts what the second counts, and more
        try:
            lines = Path(file).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None
