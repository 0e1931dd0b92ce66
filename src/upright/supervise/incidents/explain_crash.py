"""Where an engine crashed, and what to leave out to get around it."""

from __future__ import annotations

from collections.abc import Iterator

from upright.supervise.incidents.explain_facts import CRASH_SIGNALS, compiled_kernels_off, on_gpu
from upright.supervise.incidents.incident import Incident
from upright.supervise.incidents.stack_frames import Frame, innermost_frame, raised_at

OURS = ("upright", "torch")
IMAGE_CODE = ("PIL/", "upright/engine/images.py", "upright/models/resample.py")
COMPILED_KERNELS = "upright/kernels/native/"
HARDWARE_SIGNALS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE")


def crash_advice(incident: Incident) -> Iterator[str]:
    if incident.cause == "hang" or incident.start_failure is not None:
        return
    if incident.signal in CRASH_SIGNALS:
        yield from _where(incident)
        yield from _by_signal(incident)
        yield from _further(incident)
    elif incident.exception is not None:
        frame = raised_at(incident.traceback, OURS)
        if frame is not None:
            yield f"it was raised in {frame}"
    elif incident.signal is None and incident.exit_code is not None:
        yield (
            f"it left with exit code {incident.exit_code} and no exception: a library ended the process, and the last "
            "lines of its log may say which"
        )


def _where(incident: Incident) -> Iterator[str]:
    inner = innermost_frame(incident.stacks)
    frame = innermost_frame(incident.stacks, OURS)
    if frame is None or inner is None:
        yield (
            f"it left no stacks of Python code: `coredumpctl gdb {incident.pid}` has the native ones where systemd "
            "keeps core dumps; elsewhere allow them with `ulimit -c unlimited`"
        )
        return
    within = "" if inner == frame else f", called into {inner}"
    yield f"it crashed in {frame}{within}"
    yield from _around(incident, inner, frame)


def _around(incident: Incident, inner: Frame, frame: Frame) -> Iterator[str]:
    """What to leave out, by the place."""
    if inner.path.startswith(IMAGE_CODE) or frame.path.startswith(IMAGE_CODE):
        yield "that code reads images, so an image may be the reason: try the requests with images one by one"
    elif frame.path.startswith(COMPILED_KERNELS):
        yield "those are the kernels compiled on this machine: `--attention sdpa` serves without them, more slowly"
    elif frame.package == "torch" or "/attention/" in frame.path:
        now = incident.environment.options.get("attention") or "chosen by Upright"
        other = "sdpa" if now == "reference" else "reference"
        yield (
            f"try other kernels with `--attention {other}` (now {now}), then another version of PyTorch "
            f"(now {incident.environment.torch or 'not installed'})"
        )


def _by_signal(incident: Incident) -> Iterator[str]:
    environment = incident.environment
    match incident.signal:
        case "SIGILL":
            if not compiled_kernels_off(incident):
                yield (
                    f"this CPU ({environment.cpu}) lacks an instruction; kernels compiled for another CPU may be the "
                    "reason, after a virtual machine has moved: remove ${XDG_CACHE_HOME:-~/.cache}/upright/native, or "
                    "leave them out with `--attention sdpa`"
                )
            yield (
                f"if it comes back, PyTorch {environment.torch} itself needs what {environment.cpu} lacks: an older "
                "PyTorch or a build for this CPU may run; in a virtual machine pass the host's CPU model through"
            )
        case "SIGBUS" if not incident.serving:
            yield (
                f"a file was cut or could not be read while it was loaded: check the disk and the space left (`dmesg`, "
                f"`df -h`), and get the model again ({environment.model})"
            )
        case "SIGBUS":
            yield "a mapped file was cut, or memory is failing: see `df -h /dev/shm /tmp`, and `dmesg` for errors"
        case "SIGSYS":
            yield "a filter forbade a system call: try the container with --security-opt seccomp=unconfined"
        case "SIGABRT":
            why = (
                "the last lines of its log say why" if incident.log
                else "it has logged nothing, so that somebody may as well have sent it SIGABRT"
            )  # fmt: skip
            yield f"a native library gave up on purpose; {why}"


def _further(incident: Incident) -> Iterator[str]:
    if incident.signal in HARDWARE_SIGNALS:
        gpu = ", `dmesg | grep -i xid`" if on_gpu(incident) else ""
        yield (
            "if incidents end in a different place each time, suspect the hardware: undo overclocking, test the memory "
            f"(memtest86+, memtester), and see `journalctl -k | grep -i -E 'mce|hardware error'`{gpu}"
        )
