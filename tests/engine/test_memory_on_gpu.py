"""On a real GPU: the parts that the banner shows are what the device holds, and are kept for the next start."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from tests.checkpoints import save_shape
from upright.engine.kept import Kept
from upright.engine.start_error import StartError
from upright.engine.startup import start_engine
from upright.messages import EngineOptions, Loading

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SHARE = 0.3
SLACK = 2**29  # of the allocator's, and of graphs beyond what was foreseen


def options(model: Path, measured: Path, **more: object) -> EngineOptions:
    given = EngineOptions(
        model_path=str(model), device="cuda", dtype="float16", load_format="dummy", max_model_len=2048, max_num_seqs=64,
        max_num_batched_tokens=2048, kv_cache_bytes=None, block_size=16, max_pixels=28 * 28 * 512, seed=0, overlap=True,
        graphs=True, gpu_memory_utilization=SHARE, measured=str(measured),
    )  # fmt: skip
    return msgspec.structs.replace(given, **more)


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    out = tmp_path / "shape"
    save_shape("qwen2_vl", out)
    return out


def quiet(progress: Loading) -> None:
    pass


def test_the_parts_are_what_the_device_holds(shape: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    core, ready = start_engine(options(shape, file), quiet)
    while core.runner.idle():
        pass
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    parts = {part.name: part.bytes for part in ready.memory}
    assert sum(parts.values()) == total
    before = total - parts.get("driver and other programs", 0)
    assert before - free <= SHARE * total + SLACK
    assert parts["KV cache"] == core.runner.cache.data.nbytes
    assert ready.blocks == core.runner.cache.blocks - 1, "one belongs to nobody"
    (kept,) = msgspec.json.decode(file.read_bytes(), type=dict[str, Kept]).values()
    found = kept.footprint
    assert found is not None
    assert parts["weights"] <= found.consumed < total and found.transient > 0 and found.graphs >= 0
    assert kept.measured == core.runner.model.measured
    core.close()


def test_the_next_engine_measures_nothing(shape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "memory.json"
    first, ready = start_engine(options(shape, file), quiet)
    measured = first.runner.model.measured
    first.close()
    del first
    torch.cuda.empty_cache()

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("upright.kernels.measure_linear._microseconds", never)
    monkeypatch.setattr("upright.kernels.attention.measure._milliseconds", never)
    second, again = start_engine(options(shape, file), quiet)
    assert second.runner.model.measured == measured
    assert [(choice.use, choice.name) for choice in again.attention] == [
        (choice.use, choice.name) for choice in ready.attention
    ]
    second.close()


def test_a_share_that_is_too_small_is_told_with_its_parts(shape: Path, tmp_path: Path) -> None:
    tight = options(shape, tmp_path / "memory.json", gpu_memory_utilization=0.001)
    with pytest.raises(StartError, match="weights") as caught:
        start_engine(tight, quiet)
    assert caught.value.memory and "--gpu-memory-utilization" in caught.value.advice + str(caught.value)
