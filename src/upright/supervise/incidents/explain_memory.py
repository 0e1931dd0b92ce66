"""What to make smaller after an engine ran out of memory, with the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from upright.plan.memory import gib
from upright.supervise.incidents.explain_facts import killed_by_oom_killer, on_gpu
from upright.supervise.incidents.incident import Incident

FRAGMENTED_BYTES = 256 * 2**20  # held by torch and in no use, from which another allocator is worth a try

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_TRIED = re.compile(r"tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)", re.IGNORECASE)
_FRAGMENTS = re.compile(r"([\d.]+) (bytes|KiB|MiB|GiB) is reserved by PyTorch but unallocated")


def memory_advice(incident: Incident) -> Iterator[str]:
    yield _shortage(incident)
    yield from _smaller(incident)
    if on_gpu(incident):
        yield from _gpu(incident)
    else:
        yield from _limits(incident)


def _shortage(incident: Incident) -> str:
    environment, exception = incident.environment, incident.exception or ""
    tried = _amount(_TRIED, exception)
    asked = f", and it asked for {gib(tried)} more" if tried is not None else ""
    if on_gpu(incident) and not killed_by_oom_killer(incident):
        return f"GPU memory ran out{asked}; the GPU after its death: {'; '.join(environment.gpus) or 'unknown'}"
    held = f"it held {gib(incident.resident_bytes)} when last seen, " if incident.resident_bytes is not None else ""
    unsure = "memory is the likely reason, though the kernel's kills cannot be counted here: "
    if incident.signal != "SIGKILL" or incident.oom_kills is not None:
        unsure = ""
    killer = f"the kernel's out-of-memory killer ended it ({incident.oom_kills} counted while it ran); "
    return (
        f"{killer if killed_by_oom_killer(incident) else ''}{unsure}{held}"
        f"{gib(environment.memory_available)} of {gib(environment.memory_total)} are free after its death{asked}"
    )


def _smaller(incident: Incident) -> Iterator[str]:
    """The options that take memory, each with a value to try."""
    options = incident.environment.options
    cache = options.get("kv_cache_bytes")
    if cache:
        yield f"give the cache less: --kv-cache-memory {_mebibytes(cache // 2)} (now {gib(cache)})"
    elif on_gpu(incident):
        share = options.get("gpu_memory_utilization", 0.9)
        yield f"give the cache less: --gpu-memory-utilization {share - 0.1:.2g} (now {share:g})"
    yield from _halved(options, "max_num_seqs", "run fewer sequences at the same time")
    step = incident.step
    if on_gpu(incident) or (step is not None and step.phase == "step" and not step.done):
        yield from _halved(options, "max_num_batched_tokens", "compute less in one step")
    images = sum(request.images for request in incident.requests)
    if images:
        limit = options.get("max_pixels")
        largest = max(request.image_tokens for request in incident.requests)
        value = f"--max-pixels {limit // 2} (now {limit})" if limit else "--max-pixels (now the model's own limit)"
        yield f"take smaller images: {value}; {images} were in flight, {largest} tokens the most in one request"
    if not incident.serving and options.get("dtype") == "float32":
        yield "it died while loading: --dtype bfloat16 halves the weights, or take a smaller model"


def _gpu(incident: Incident) -> Iterator[str]:
    fragments = _amount(_FRAGMENTS, incident.exception or "")
    if fragments is not None and fragments >= FRAGMENTED_BYTES:
        yield (
            f"{gib(fragments)} were lost to fragments: "
            "`PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True upright serve …` gets them back"
        )
    yield "see with `nvidia-smi` whether another process, or a desktop, holds memory on this GPU"


def _limits(incident: Incident) -> Iterator[str]:
    """A refused allocation on a machine that has the memory was refused by a limit."""
    tried = _amount(_TRIED, incident.exception or "")
    available = incident.environment.memory_available
    if tried is not None and incident.resident_bytes is not None and tried + incident.resident_bytes < available:
        yield (
            f"{gib(tried)} beside the {gib(incident.resident_bytes)} that it held are less than is free now, so a "
            "limit may have refused them: see `ulimit -v`, and `sysctl vm.overcommit_memory` (2 refuses early)"
        )
    if killed_by_oom_killer(incident):
        yield (
            "`dmesg -T | grep -i -E 'oom-kill|killed process'` says who was ended, and whether a container's limit was "
            "the reason (constraint=CONSTRAINT_MEMCG): raise that limit if the machine has more"
        )


def _halved(options: dict[str, Any], name: str, what: str) -> Iterator[str]:
    value = options.get(name)
    if value and value > 1:
        yield f"{what}: --{name.replace('_', '-')} {value // 2} (now {value})"


def _amount(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return None if match is None else int(float(match[1]) * _UNITS.get(match[2], 1))


def _mebibytes(size: int) -> str:
    """As --kv-cache-memory takes it."""
    return f"{max(1, size // 2**20)}MiB"
