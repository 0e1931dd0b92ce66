"""The ladder leaves out what would change nothing, and keeps what the rungs above gave up."""

from __future__ import annotations

from typing import Any

from upright.messages import EngineOptions
from upright.supervise.rungs import ladder

GIB = 2**30


def options(device: str, **more: Any) -> EngineOptions:
    settings: dict[str, Any] = {"kv_cache_bytes": None} | more
    return EngineOptions(
        model_path="m", device=device, dtype="float32", load_format="auto", max_model_len=512, max_num_seqs=256,
        max_num_batched_tokens=8192, block_size=16, max_pixels=None, seed=0, **settings,
    )  # fmt: skip


def names(given: EngineOptions) -> list[str]:
    return [rung.name for rung in ladder(given)]


def test_a_gpu_gives_up_one_thing_after_another() -> None:
    rungs = ladder(options("cuda", graphs=True, overlap=True))
    assert [rung.name for rung in rungs] == [
        "full", "small steps", "no CUDA graphs", "no overlap", "portable kernels", "reference attention",
    ]  # fmt: skip
    last = rungs[-1].options
    assert (last.graphs, last.overlap, last.portable, last.attention) == (False, False, True, "reference")
    assert (last.max_num_seqs, last.max_num_batched_tokens, last.native) == (64, 2048, True)
    assert [rung.relieves_memory for rung in rungs] == [False, True, False, False, False, False]


def test_what_the_user_has_turned_off_is_no_rung() -> None:
    assert names(options("cuda", graphs=False, overlap=True, portable=True, attention="sdpa")) == [
        "full", "small steps", "no overlap",
    ]  # fmt: skip


def test_a_cpu_knows_no_graphs() -> None:
    assert names(options("cpu")) == ["full", "small steps", "no compiled kernels", "reference attention"]
    assert names(options("cpu", overlap=True, native=False)) == [
        "full", "small steps", "no overlap", "reference attention",
    ]  # fmt: skip


def test_small_steps_halve_a_cache_of_fixed_size_down_to_one_sequence() -> None:
    given = options("cpu", kv_cache_bytes=4 * GIB)
    assert ladder(given, GIB)[1].options.kv_cache_bytes == 2 * GIB
    assert ladder(given, 3 * GIB)[1].options.kv_cache_bytes == 3 * GIB
    assert ladder(given)[1].options.kv_cache_bytes == 4 * GIB
