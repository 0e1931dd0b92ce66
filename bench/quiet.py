"""Waits until other programs leave the processor alone, so that a busy machine does not measure itself."""

from __future__ import annotations

import os
import time

import psutil

SAMPLE_SECONDS = 1.0


def others_share() -> float:
    """Share of all cores that programs other than this one and its children take, measured over a second; 0 to 1."""
    this = psutil.Process()
    own, busy = processor_seconds(this), _busy_seconds()
    time.sleep(SAMPLE_SECONDS)
    others = (_busy_seconds() - busy) - (processor_seconds(this) - own)
    return max(0.0, others / SAMPLE_SECONDS / (os.cpu_count() or 1))


def wait_quiet(limit: float, share: float = 0.08) -> float:
    """Wait, `limit` seconds at most, until others take less than `share` of the cores; what they take at the end."""
    began = time.monotonic()
    while (taken := others_share()) > share and time.monotonic() - began < limit:
        pass
    return taken


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def processor_seconds(root: psutil.Process) -> float:
    """User and system time of a process and all that it has started and that live."""
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
