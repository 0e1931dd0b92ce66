"""Why an engine may have given no sign of life."""

from __future__ import annotations

import math
from collections.abc import Iterator

from upright.plan.memory import gib
from upright.supervise.incidents.environment import NO_ANSWER
from upright.supervise.incidents.explain_facts import STOPPED, answered_with_stacks, on_gpu
from upright.supervise.incidents.incident import Incident
from upright.supervise.incidents.stack_frames import innermost_frame

IMAGE_DECODING = "/upright/engine/images.py"
LITTLE_MEMORY = 0.05  # of the whole: less, and a machine with swap spends its time there


def hang_advice(incident: Incident) -> Iterator[str]:
    if any(gpu.startswith(NO_ANSWER) for gpu in incident.environment.gpus):
        yield (
            "the GPU's driver does not answer either: see `dmesg | grep -i xid`, then reset the card "
            "(`nvidia-smi --gpu-reset`) or restart the machine; another engine cannot help before that"
        )
    if incident.cause != "hang" or incident.how.startswith(STOPPED):
        return
    yield from _late(incident)
    yield from _where(incident)
    yield from _images(incident)
    yield from _starved(incident)
    yield from _slow(incident)


def _late(incident: Incident) -> Iterator[str]:
    step = incident.step
    if step is None or step.done or step.phase == "idle":
        return
    what = {"loading": "loading", "decoding": "decoding images", "step": f"step {step.number}"}[step.phase]
    allowed = f", and {step.deadline:.1f} s were allowed" if step.deadline is not None else ""
    yield f"{what} had run for {step.running_for:.1f} s where {step.expected:.1f} s were expected{allowed}"
    if step.phase == "loading":
        yield (
            f"a slow disk or a network file system holds up loading: copy the model ({incident.environment.model}) to "
            "a local disk"
        )


def _where(incident: Incident) -> Iterator[str]:
    if not answered_with_stacks(incident):
        yield (
            "it gave no stacks when asked, so it was stuck inside the kernel (a driver, a disk that has gone) or had "
            "no CPU time at all: see `dmesg | grep -i 'blocked for more than'`"
        )
        return
    frame, inner = innermost_frame(incident.stacks, ("upright",)), innermost_frame(incident.stacks)
    if inner is not None:
        within = f", called from {frame}" if frame is not None and frame != inner else ""
        yield f"it was in {inner}{within}; other incidents with the same place mean a loop or a deadlock there"
    if on_gpu(incident):
        yield (
            "work on the GPU may not have come to an end: see `dmesg | grep -i xid` and the GPU's temperature in "
            "`nvidia-smi`; `--attention reference` takes other kernels"
        )


def _images(incident: Incident) -> Iterator[str]:
    if IMAGE_DECODING in incident.stacks or (incident.step is not None and incident.step.phase == "decoding"):
        yield "images were being decoded: bound what clients may send with --max-image-pixels and --max-media-bytes"


def _starved(incident: Incident) -> Iterator[str]:
    """A step on a CPU that is late is late for want of CPU time more often than for a fault."""
    environment = incident.environment
    if environment.memory_total and environment.memory_available < LITTLE_MEMORY * environment.memory_total:
        yield (
            f"{gib(environment.memory_available)} of {gib(environment.memory_total)} are free, so the machine may have "
            "been swapping: lower --kv-cache-memory"
        )
    if on_gpu(incident):
        return
    threads = environment.options.get("threads") or environment.cores
    fewer = f"; --threads {threads - 1} leaves one of {environment.cores} cores free" if threads > 1 else ""
    yield (
        "or it was short of CPU time: look for other busy processes, and for a quota in "
        f"/sys/fs/cgroup/cpu.stat (nr_throttled){fewer}"
    )


def _slow(incident: Incident) -> Iterator[str]:
    """An engine that was only slow needs time, not care."""
    step = incident.step
    if step is not None and not step.done and step.phase == "step":
        yield f"if it was only slow, give every step more time: --hang-patience {math.ceil(2 * step.running_for)}"
