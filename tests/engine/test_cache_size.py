"""What is left of a GPU for the KV cache, by arithmetic, and what is advised when it is too little."""

from __future__ import annotations

from typing import Any

import pytest

from upright.engine.cache_size import Card, cache_blocks
from upright.engine.footprint import Footprint
from upright.engine.start_error import StartError
from upright.messages import EngineOptions

GIB = 2**30
BLOCK = 2**20  # of 16 tokens: 64 KiB a token


def options(**more: Any) -> EngineOptions:
    settings: dict[str, Any] = {"max_model_len": 32768, "max_num_seqs": 256, "kv_cache_bytes": None} | more
    return EngineOptions(
        model_path="m", device="cuda", dtype="bfloat16", load_format="auto", max_num_batched_tokens=8192,
        block_size=16, max_pixels=None, seed=0, **settings,
    )  # fmt: skip


def card(total: int = 80 * GIB, free: int | None = None) -> Card:
    free = total - GIB if free is None else free
    footprint = Footprint(free=free, consumed=17 * GIB, transient=3 * GIB, graphs=GIB)
    return Card(total, free, footprint, weights=16 * GIB, features=GIB)


def error(given: EngineOptions, on: Card | None) -> StartError:
    with pytest.raises(StartError) as caught:
        cache_blocks(given, BLOCK, on)
    return caught.value


def test_the_cache_gets_what_the_share_leaves() -> None:
    left = int(0.9 * 80 * GIB) - 22 * GIB
    assert cache_blocks(options(), BLOCK, card()) == left // BLOCK - 1, "one block is nobody's"
    assert cache_blocks(options(gpu_memory_utilization=0.5), BLOCK, card()) == 18 * GIB // BLOCK - 1


def test_there_is_no_more_than_is_free() -> None:
    """The share is this engine's alone, as in vLLM: what others hold counts only where it leaves less than that."""
    shared = card(free=60 * GIB)
    assert cache_blocks(options(), BLOCK, shared) == (60 - 22) * GIB // BLOCK - 1
    assert cache_blocks(options(gpu_memory_utilization=0.5), BLOCK, shared) == 18 * GIB // BLOCK - 1
    assert cache_blocks(options(gpu_memory_utilization=1.0), BLOCK, card()) == (79 - 22) * GIB // BLOCK - 1


def test_no_more_than_all_sequences_can_fill() -> None:
    assert cache_blocks(options(max_model_len=100, max_num_seqs=3), BLOCK, card()) == 3 * 7
    assert cache_blocks(options(max_model_len=100, max_num_seqs=3, kv_cache_bytes=GIB), BLOCK, None) == 3 * 7


def test_a_cache_of_fixed_size_overrides_the_share() -> None:
    assert cache_blocks(options(kv_cache_bytes=4 * GIB, gpu_memory_utilization=0.1), BLOCK, card()) == 4 * GIB // BLOCK
    assert cache_blocks(options(kv_cache_bytes=4 * GIB), BLOCK, None) == 4 * GIB // BLOCK
    wrong = error(options(kv_cache_bytes=60 * GIB), card())
    assert wrong.memory and "60.00 GiB does not fit" in str(wrong)
    advised = int(wrong.advice.rsplit(" ", 1)[1])
    assert cache_blocks(options(kv_cache_bytes=advised), BLOCK, card()) == advised // BLOCK
    assert error(options(kv_cache_bytes=advised + 1), card()).advice == wrong.advice


def test_too_little_is_told_with_all_parts_and_a_share_that_works() -> None:
    small = card(total=24 * GIB)
    wrong = error(options(), small)
    assert wrong.memory
    for words in ("holds 0 tokens", "32768", "2.00 GiB", "weights 16.00 GiB", "CUDA graphs 1.00 GiB", "is 0.9"):
        assert words in str(wrong)
    assert "smaller model" in wrong.advice
    roomy = card(total=26 * GIB)
    wrong = error(options(), roomy)
    assert wrong.advice.startswith("use --gpu-memory-utilization 0.93, or --max-model-len ")
    assert cache_blocks(options(gpu_memory_utilization=0.93), BLOCK, roomy) >= 2048
    length = int(wrong.advice.rsplit(" ", 1)[1])
    assert cache_blocks(options(max_model_len=length), BLOCK, roomy) * 16 == length
    crowded = card(total=80 * GIB, free=23 * GIB)
    assert error(options(), crowded).advice == "use --max-model-len 16368"
    assert "driver and other programs 57.00 GiB" in str(error(options(), crowded))


def test_a_cpu_s_cache_that_is_too_small() -> None:
    wrong = error(options(kv_cache_bytes=GIB), None)
    assert (wrong.advice, wrong.memory) == ("use --max-model-len 16384", False)
    assert error(options(kv_cache_bytes=1), None).advice == f"give more with --kv-cache-memory {2 * GIB}"


def test_the_parts_are_the_whole_card() -> None:
    parts = {part.name: part.bytes for part in card().parts(40 * GIB)}
    assert sum(parts.values()) == 80 * GIB
    assert parts["compiled kernels and libraries"] == parts["driver and other programs"] == GIB
    assert parts["left free"] == (80 - 1 - 22 - 40) * GIB
