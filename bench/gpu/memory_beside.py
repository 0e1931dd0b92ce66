"""What an engine takes of a GPU beside its weights, its KV cache and its graphs. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping

GIB = 1 << 30
_APART = ("weights", "KV cache", "CUDA graphs", "driver and other programs", "left free")
# What vLLM 0.23 logs; graphs only where it takes what it expects them to need from the KV cache's share
_KV_CACHE = re.compile(r"Available KV cache memory: ([\d.]+) GiB")
_WEIGHTS = re.compile(r"Model loading took ([\d.]+) GiB")
_GRAPHS = re.compile(r"\(actual\), ([\d.]+) GiB \(estimated\)")


def of_upright(parts: Mapping[str, int]) -> int:
    """Bytes, of the parts that its banner and `upright bench --json` give."""
    return sum(size for name, size in parts.items() if name not in _APART)


def of_vllm(log: str, total: int, utilization: float) -> int | None:
    """Bytes, of what vLLM may take of a device of `total` bytes: what is neither of the three. None if the log does not
    say.
    """
    kv_cache, weights, graphs = (pattern.search(log) for pattern in (_KV_CACHE, _WEIGHTS, _GRAPHS))
    if kv_cache is None or weights is None:
        return None
    apart = sum(float(found[1]) for found in (kv_cache, weights, graphs) if found is not None)
    return round(utilization * total - apart * GIB)


def line(parts: Mapping[str, int], log: str, utilization: float) -> str:
    ours, theirs = of_upright(parts), of_vllm(log, sum(parts.values()), utilization)
    told = f"{theirs / GIB:.2f} GiB" if theirs is not None else "not told"
    return f"memory beside weights, KV cache and graphs: Upright {ours / GIB:.2f} GiB, vLLM {told}"
