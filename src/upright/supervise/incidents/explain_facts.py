"""Questions that several rules ask of an incident."""

from __future__ import annotations

import re
import signal as signals

from upright.supervise.incidents.incident import Incident

KILLED_BY = "killed by"  # how the diagnosis words a signal that the front has not sent
STOPPED = "stopped"  # how the watch words a process that the kernel shows as stopped
CRASH_SIGNALS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT", "SIGFPE", "SIGTRAP", "SIGSYS")  # a process does it to itself
LAST_LOG_LINES = 30  # that may tell of the death; what stands before belongs to other events

_MEMORY = re.compile(
    r"MemoryError|OutOfMemoryError|out of memory|cannot allocate memory|can't allocate memory|"
    r"CUBLAS_STATUS_ALLOC_FAILED|std::bad_alloc",
    re.IGNORECASE,
)


def error_text(incident: Incident) -> str:
    """What the engine said of its end, or else what its log ends with: C libraries say their last word there."""
    told = incident.exception or incident.start_failure
    if told is not None:
        return told
    return "\n".join(incident.log[-LAST_LOG_LINES:]) if incident.signal is not None or incident.exit_code else ""


def exception_type(exception: str) -> str:
    """`torch.OutOfMemoryError` of `torch.OutOfMemoryError: CUDA out of memory …`."""
    return exception.partition(":")[0].strip() or "an exception"


def on_gpu(incident: Incident) -> bool:
    return incident.environment.options.get("device") == "cuda"


def killed_by_signal(incident: Incident) -> bool:
    """A signal ended it that the front had not sent."""
    return incident.signal is not None and incident.how.startswith(KILLED_BY)


def ended_by_front(incident: Incident) -> bool:
    return incident.signal == "SIGKILL" and incident.exception is None and not killed_by_signal(incident)


def killed_by_oom_killer(incident: Incident) -> bool:
    return incident.signal == "SIGKILL" and killed_by_signal(incident) and bool(incident.oom_kills)


def ran_out_of_memory(incident: Incident) -> bool:
    if incident.cause == "memory" or killed_by_oom_killer(incident):
        return True
    return incident.exception is not None and _MEMORY.search(incident.exception) is not None


def killed_from_outside(incident: Incident) -> bool:
    """A signal ended it that a process does not send itself, and Upright did not either."""
    return killed_by_signal(incident) and incident.signal not in CRASH_SIGNALS


def answered_with_stacks(incident: Incident) -> bool:
    return "most recent call first" in incident.stacks


def compiled_kernels_off(incident: Incident) -> bool:
    """True only where the options say so: with native kernels allowed, the machine may still have declined them."""
    options = incident.environment.options
    return options.get("device") != "cpu" or options.get("attention") is not None or options.get("native") is False


def signal_number(name: str) -> int | None:
    member = signals.Signals.__members__.get(name)
    return None if member is None else int(member)
