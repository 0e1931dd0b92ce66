"""The plan and its arithmetic: pure functions of settings, model and machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from upright.config import ServeConfig
from upright.models.model_config import ModelConfig, read_model_config
from upright.plan.hardware import Gpu, Hardware, _parse
from upright.plan.memory import (
    available_memory,
    encoder_cache_tokens,
    gib,
    kv_bytes_per_token,
    largest_image_tokens,
    largest_step_bytes,
    weight_bytes,
)
from upright.plan.plan import CPU_KV_BYTES, GPU_RUNTIME_BYTES, Machine, Plan, PlanError, make_plan

GIB = 2**30
LAPTOP = Machine(Hardware((), "no NVIDIA driver is installed"), 16 * GIB, 8)
H100 = Gpu("NVIDIA H100", 80 * GIB, (9, 0))
TURING = Gpu("NVIDIA GeForce RTX 2080 Ti", 22 * GIB, (7, 5))


@pytest.fixture(scope="module")
def vision(tiny_checkpoint: Callable[[str], Path]) -> ModelConfig:
    return read_model_config(tiny_checkpoint("qwen2_vl"))


@pytest.fixture(scope="module")
def text(tiny_checkpoint: Callable[[str], Path]) -> ModelConfig:
    return read_model_config(tiny_checkpoint("qwen2"))


def plan(model: ModelConfig, machine: Machine = LAPTOP, **settings: Any) -> Plan:
    return make_plan(ServeConfig(model="m", **settings), model, Path("/m"), machine)


def with_gpu(gpu: Gpu) -> Machine:
    return replace(LAPTOP, hardware=Hardware((gpu,)))


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def test_kv_bytes(text: ModelConfig) -> None:
    # 3 layers, keys and values, 2 heads of 32 values, 4 bytes each
    assert kv_bytes_per_token(text.decoder, "float32") == 3 * 2 * 2 * 32 * 4
    assert kv_bytes_per_token(text.decoder, "bfloat16") == 3 * 2 * 2 * 32 * 2


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "qwen2_vl", "qwen2_5_vl"])
def test_weight_bytes_are_those_of_the_files(tiny_checkpoint: Callable[[str], Path], architecture: str) -> None:
    directory = tiny_checkpoint(architecture)
    stored = (directory / "model.safetensors").stat().st_size
    counted = weight_bytes(read_model_config(directory), "float32")
    assert counted == pytest.approx(stored, rel=0.01)
    assert weight_bytes(read_model_config(directory), "float16") * 2 == counted


def test_image_tokens(vision: ModelConfig, text: ModelConfig) -> None:
    assert largest_image_tokens(vision, None) == 401408 // 28**2
    assert largest_image_tokens(vision, 28 * 28 * 5 + 1) == 5
    assert largest_image_tokens(vision, 10**9) == 401408 // 28**2, "never above the model's own limit"
    assert largest_image_tokens(text, None) == encoder_cache_tokens(text, 512) == 0
    assert encoder_cache_tokens(vision, 512) == 2048
    assert encoder_cache_tokens(vision, 1) == 512


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (38 * 2**20, "38.0 MiB"), (13 * 2**28, "3.25 GiB"),
     (2**42, "4096.00 GiB")],
)  # fmt: skip
def test_sizes_for_people(size: int, shown: str) -> None:
    assert gib(size) == shown


def test_this_machine_has_memory() -> None:
    assert 0 < available_memory() < 2**62
    assert Machine.here(Hardware(())).cores >= 1


@pytest.mark.parametrize(("limit", "left"), [(3 * 2**30, 3 * 2**29), (2**30, 0)])
def test_a_limit_of_the_address_space_counts(limit: int, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upright.plan.memory._meminfo", lambda field: 2**62)
    monkeypatch.setattr("upright.plan.memory.resource.getrlimit", lambda which: (limit, limit))
    assert available_memory() == left


def test_what_the_driver_s_tool_says_is_understood() -> None:
    assert _parse("NVIDIA GeForce RTX 2080 Ti, 22528, 7.5") == TURING
    with pytest.raises(ValueError, match="unpack"):
        _parse("No devices were found")


# ---- what is chosen --------------------------------------------------------------------------------------------------


def test_a_cpu_s_defaults(vision: ModelConfig) -> None:
    made = plan(vision)
    options = made.options
    assert (options.device, options.dtype, options.threads) == ("cpu", "float32", 8)
    assert (options.max_num_seqs, options.max_num_batched_tokens) == (32, 512)
    assert (options.max_model_len, options.max_pixels, made.image_tokens) == (32768, None, 512)
    assert options.kv_cache_bytes == 32 * 32768 * kv_bytes_per_token(vision.decoder, "float32")
    assert any("no NVIDIA driver" in note for note in made.notes)
    assert any("float32" in note for note in made.notes)


def test_what_is_asked_for_is_not_called_a_choice(text: ModelConfig) -> None:
    made = plan(text, device="cpu", dtype="bfloat16", threads=3, max_model_len=100, max_num_seqs=2)
    assert made.notes == ()
    assert (made.options.dtype, made.options.threads, made.options.max_model_len) == ("bfloat16", 3, 100)


def test_more_threads_than_cores_are_told_with_the_numbers(text: ModelConfig) -> None:
    made = plan(text, threads=1000)
    assert made.options.threads == 1000
    assert any("--threads 1000 is more than the 8 cores" in note for note in made.notes)
    assert not any("--threads" in note for note in plan(text, threads=8).notes)


def test_the_cache_takes_no_more_than_its_share(text: ModelConfig) -> None:
    per_token = kv_bytes_per_token(text.decoder, "float32")
    assert plan(text, max_num_seqs=10_000).options.kv_cache_bytes == CPU_KV_BYTES
    small = replace(LAPTOP, available_bytes=weight_bytes(text, "float32") + 200 * 2**20)
    assert plan(text, small).options.kv_cache_bytes == 100 * 2**20
    assert plan(text, max_num_seqs=1, max_model_len=64).options.kv_cache_bytes == 64 * per_token


def test_a_context_that_does_not_fit_is_lowered_and_told(text: ModelConfig) -> None:
    tight = replace(LAPTOP, available_bytes=weight_bytes(text, "float32") + 20 * 2**20)
    made = plan(text, tight)
    assert made.options.max_model_len == 10 * 2**20 // kv_bytes_per_token(text.decoder, "float32") // 16 * 16
    assert any(f"context {made.options.max_model_len} instead of 32768" in note for note in made.notes)
    with pytest.raises(PlanError, match=r"one sequence of 32768 tokens .* --max-model-len"):
        plan(text, tight, max_model_len=32768)


def test_a_small_context_scales_images_down_and_says_so(vision: ModelConfig) -> None:
    made = plan(vision, max_model_len=512)
    assert made.image_tokens == 256
    assert made.options.max_pixels == 256 * 28 * 28
    assert any("images are scaled" in note and "512" in note for note in made.notes)
    assert plan(vision, max_model_len=512, max_pixels=10_000).options.max_pixels == 10_000


def test_images_that_keep_a_cpu_busy_are_told(vision: ModelConfig) -> None:
    assert vision.vision is not None
    large = replace(vision, vision=replace(vision.vision, depth=32, hidden_size=1280, intermediate_size=5120))

    assert not any("busy" in note for note in plan(vision).notes)
    (told,) = (note for note in plan(large, threads=1).notes if "busy" in note)
    assert "images of up to 512 tokens" in told
    assert "--max-pixels below 401408" in told
    assert not any("busy" in note for note in plan(large, threads=64).notes)


def test_a_gpu_is_taken_where_there_is_one(vision: ModelConfig) -> None:
    made = plan(replace(vision, dtype="bfloat16"), with_gpu(H100))
    assert (made.options.device, made.options.dtype, made.options.kv_cache_bytes) == ("cuda", "bfloat16", None)
    assert (made.options.max_num_seqs, made.options.max_num_batched_tokens, made.options.threads) == (256, 8192, 0)
    assert made.notes == ()
    assert plan(vision, with_gpu(H100), device="cpu").options.device == "cpu"


def test_a_gpu_without_bfloat16_gets_float16_and_the_reason(vision: ModelConfig) -> None:
    made = plan(replace(vision, dtype="bfloat16"), with_gpu(TURING))
    assert made.options.dtype == "float16"
    assert made.notes == ("dtype float16: NVIDIA GeForce RTX 2080 Ti (compute capability 7.5) has no bfloat16",)


def test_a_gpu_gets_graphs_and_overlap_unless_told_otherwise(text: ModelConfig) -> None:
    def switches(machine: Machine, **settings: Any) -> tuple[bool, bool, bool]:
        options = plan(text, machine, **settings).options
        return options.graphs, options.overlap, options.portable

    assert switches(with_gpu(H100)) == (True, True, False)
    assert switches(with_gpu(H100), cuda_graphs=False, overlap=False, portable=True) == (False, False, True)
    assert switches(LAPTOP) == (False, False, False)
    assert switches(LAPTOP, overlap=True) == (False, True, False)
    noted = plan(text, cuda_graphs=True, portable=True)
    assert (noted.options.graphs, noted.options.portable) == (False, False)
    assert [note.split()[0] for note in noted.notes[-2:]] == ["--cuda-graphs", "--portable"]


def test_a_gpu_that_cannot_hold_the_model_s_context_gets_a_shorter_one(text: ModelConfig) -> None:
    per_token, kept = kv_bytes_per_token(text.decoder, "float32"), weight_bytes(text, "float32") + GPU_RUNTIME_BYTES
    step = largest_step_bytes(text, "float32", 8192, 256, 0)
    small = with_gpu(replace(TURING, total_bytes=int((kept + step + 10 * 2**20) / 0.9)))
    made = plan(text, small)
    assert made.options.max_model_len == pytest.approx(10 * 2**20 / per_token, abs=16)
    assert any(f"context {made.options.max_model_len} instead of 32768" in note for note in made.notes)
    assert plan(text, small, max_model_len=32768).options.max_model_len == 32768, "what is asked for is tried"
    assert plan(text, small, gpu_memory_utilization=1.0).options.max_model_len > made.options.max_model_len
    assert plan(text, with_gpu(H100), kv_cache_memory=64 * 16 * per_token).options.max_model_len == 64 * 16


def test_the_largest_step_grows_with_what_it_holds(vision: ModelConfig) -> None:
    def step(tokens: int = 1, sequences: int = 1, image: int = 1) -> int:
        return largest_step_bytes(vision, "float16", tokens, sequences, image)

    assert step() < step(tokens=100) and step() < step(image=100)
    assert step(sequences=101) - step(sequences=1) == 100 * 3 * 4 * vision.decoder.vocab_size


def test_many_sequences_make_larger_steps(text: ModelConfig) -> None:
    assert plan(text, max_num_seqs=1000).options.max_num_batched_tokens == 1000


# ---- what cannot work ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_model_len": 40_000}, ["--max-model-len 40000", "32768"]),
        ({"max_model_len": 1}, ["at least 2"]),
        ({"max_num_seqs": 8, "max_num_batched_tokens": 7}, ["--max-num-batched-tokens 7", "--max-num-seqs 8"]),
        ({"max_pixels": 783}, ["--max-pixels 783", "784"]),
        ({"kv_cache_memory": 1000}, ["holds 0 tokens", "32768", "48.0 MiB", "--kv-cache-memory 50331648"]),
        ({"kv_cache_memory": "10MiB", "max_model_len": 8192}, ["holds 6816 tokens", "use --max-model-len 6816, or"]),
    ],
)
def test_conflicts_are_told_in_numbers(vision: ModelConfig, settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(PlanError) as caught:
        plan(vision, **settings)
    for word in words:
        assert word in str(caught.value)


def test_what_a_conflict_advises_works(text: ModelConfig) -> None:
    with pytest.raises(PlanError) as caught:
        plan(text, kv_cache_memory=10 * 2**20)
    words = str(caught.value).split()
    length = int(words[words.index("--max-model-len") + 1].rstrip(","))
    memory = int(words[len(words) - 1 - words[::-1].index("--kv-cache-memory") + 1])
    assert plan(text, kv_cache_memory=10 * 2**20, max_model_len=length).options.max_model_len == length
    assert plan(text, kv_cache_memory=memory).options.max_model_len == 32768
    with pytest.raises(PlanError):
        plan(text, kv_cache_memory=memory - 1)


def test_weights_that_do_not_fit(text: ModelConfig) -> None:
    small = replace(LAPTOP, available_bytes=50 * 2**20)
    with pytest.raises(PlanError, match=r"the weights take .* in float32, .* 50\.0 MiB left; use --dtype bfloat16"):
        plan(text, small)
    with pytest.raises(PlanError, match=r"MiB left$"):
        plan(text, replace(small, available_bytes=2**20), dtype="bfloat16")
    card = with_gpu(replace(TURING, total_bytes=100 * 2**20))
    with pytest.raises(PlanError, match=r"in float32, and --gpu-memory-utilization 0\.5 of .*50\.0 MiB; use"):
        plan(text, card, gpu_memory_utilization=0.5)
