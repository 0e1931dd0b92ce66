"""The ladder: configurations of one engine from the fastest to the safest, as data.

Each rung keeps what the ones above it gave up. A rung that would change nothing (the user has forced the choice, or the
device knows no such thing) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from upright.messages import EngineOptions
from upright.supervise.policy import RungTraits

SHARE = 4  # of sequences and tokens of a step that small steps keep: one in so many


@dataclass(frozen=True)
class Rung:
    name: str
    options: EngineOptions
    relieves_memory: bool = False


@dataclass(frozen=True)
class _Step:
    """What a rung changes against the one above it."""

    name: str
    changes: Callable[[EngineOptions, int | None], dict[str, Any]]
    relieves_memory: bool = False


def _small_steps(options: EngineOptions, sequence_bytes: int | None) -> dict[str, Any]:
    sequences = max(1, options.max_num_seqs // SHARE)
    changes: dict[str, Any] = {
        "max_num_seqs": sequences,
        "max_num_batched_tokens": max(sequences, options.max_num_batched_tokens // SHARE),
    }
    if options.kv_cache_bytes is not None and sequence_bytes is not None:
        changes["kv_cache_bytes"] = min(options.kv_cache_bytes, max(sequence_bytes, options.kv_cache_bytes // 2))
    return changes


STEPS = (
    _Step("small steps", _small_steps, relieves_memory=True),
    _Step("no CUDA graphs", lambda options, _: {"graphs": False}),
    _Step("no overlap", lambda options, _: {"overlap": False}),
    _Step("portable kernels", lambda options, _: {"portable": True} if options.device == "cuda" else {}),
    _Step("no compiled kernels", lambda options, _: {"native": False} if options.device == "cpu" else {}),
    _Step("reference attention", lambda options, _: {"attention": options.attention or "reference"}),
)


def ladder(options: EngineOptions, sequence_bytes: int | None = None) -> tuple[Rung, ...]:
    """All rungs for `options`, which are the first one's. `sequence_bytes`: KV cache of one sequence at full length."""
    rungs = [Rung("full", options)]
    for step in STEPS:
        above = rungs[-1].options
        below = msgspec.structs.replace(above, **step.changes(above, sequence_bytes))
        if below != above:
            rungs.append(Rung(step.name, below, step.relieves_memory))
    return tuple(rungs)


def traits(rungs: tuple[Rung, ...]) -> tuple[RungTraits, ...]:
    return tuple(RungTraits(rung.name, rung.relieves_memory) for rung in rungs)
