"""What will run: every `auto` resolved into a number, with the reason, before anything is loaded.

A pure function of what the user set, the model's configuration and the hardware. Nothing is traded away in silence:
what was chosen for the user is a note that is shown at start.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from upright.config import ServeConfig
from upright.messages import EngineOptions
from upright.models.model_config import ModelConfig, VisionConfig
from upright.models.work import image_work
from upright.plan.hardware import Gpu, Hardware
from upright.plan.memory import (
    available_memory,
    gib,
    kv_bytes_per_token,
    largest_image_tokens,
    largest_step_bytes,
    weight_bytes,
)

CPU_KV_BYTES = 4 * 2**30  # unless the user says otherwise; what vLLM takes on a CPU
CPU_KV_SHARE = 0.5  # of the memory that the weights leave, at most
GPU_RUNTIME_BYTES = 3 * 2**29  # estimate of what CUDA, its libraries and the graphs of decode steps take
THREAD_FLOP = 50e9  # a second, about what one core multiplies
SLOW_IMAGE_SECONDS = 15.0  # that a CPU is busy with one image: longer is worth a word
TEXT_BESIDE_IMAGE = 256  # tokens left for the question and the answer when one image fills the context
DEFAULT_SEQUENCES = {"cpu": 32, "cuda": 256}
DEFAULT_BATCHED_TOKENS = {"cpu": 512, "cuda": 8192}


class PlanError(Exception):
    """What the user set cannot work on this model and machine. The message has the numbers and the way out."""


@dataclass(frozen=True)
class Machine:
    """What a plan is made for."""

    hardware: Hardware
    available_bytes: int  # main memory
    cores: int

    @classmethod
    def here(cls, hardware: Hardware) -> Machine:
        return cls(hardware, available_memory(), len(os.sched_getaffinity(0)))


@dataclass(frozen=True)
class Plan:
    options: EngineOptions
    weight_bytes: int
    kv_bytes: int | None  # None: the engine measures what is left on the GPU
    sequence_bytes: int  # KV cache of one sequence at full length
    image_tokens: int  # of the largest image; 0 without a vision tower
    notes: tuple[str, ...]  # what was chosen for the user, and why


def make_plan(config: ServeConfig, model: ModelConfig, directory: Path, machine: Machine) -> Plan:
    """Resolve every option. Raises: PlanError."""
    notes: list[str] = []
    device = _device(config, machine, notes)
    dtype = _dtype(config, model, machine, device, notes)
    length = _context(config, model)
    sequences = config.max_num_seqs or DEFAULT_SEQUENCES[device]
    batched = config.max_num_batched_tokens or max(DEFAULT_BATCHED_TOKENS[device], sequences)
    if batched < sequences:
        raise PlanError(
            f"--max-num-batched-tokens {batched} is less than --max-num-seqs {sequences}: a step has to hold one token "
            f"of every sequence; use --max-num-batched-tokens {sequences} or more"
        )
    weights = weight_bytes(model, dtype)
    kv_bytes = config.kv_cache_memory
    if device == "cpu":
        kv_bytes, length = _cpu_cache(config, model, dtype, machine, weights, length, sequences, notes)
        _ignored_on_a_cpu(config, notes)
    elif machine.hardware.gpus:
        largest = min(length, largest_image_tokens(model, config.max_pixels))
        step = largest_step_bytes(model, dtype, batched, sequences, largest)
        length = _gpu_context(config, model, dtype, machine.hardware.gpus[0], weights, step, length, notes)
    max_pixels, image_tokens = _image_limit(config, model, length, notes)
    threads = config.threads or (machine.cores if device == "cpu" else 0)
    if threads > machine.cores:
        notes.append(
            f"--threads {threads} is more than the {machine.cores} cores that this process may use: threads that take "
            f"turns wait for each other, so every step is slower; use --threads {machine.cores} or less"
        )
    if device == "cpu" and model.vision is not None:
        _slow_images(model.vision, image_tokens, threads, notes)
    options = EngineOptions(
        model_path=str(directory),
        device=device,
        dtype=dtype,
        load_format=config.load_format,
        max_model_len=length,
        max_num_seqs=sequences,
        max_num_batched_tokens=batched,
        kv_cache_bytes=kv_bytes,
        block_size=config.block_size,
        max_pixels=max_pixels,
        seed=config.seed,
        attention=config.attention,
        overlap=device == "cuda" if config.overlap is None else config.overlap,
        graphs=device == "cuda" and config.cuda_graphs is not False,
        portable=device == "cuda" and config.portable,
        gpu_memory_utilization=config.gpu_memory_utilization,
        threads=threads,
        faults=str(config.test_faults) if config.test_faults is not None else None,
    )
    sequence_bytes = -(-length // config.block_size) * config.block_size * kv_bytes_per_token(model.decoder, dtype)
    return Plan(options, weights, kv_bytes, sequence_bytes, image_tokens, tuple(notes))


def _device(config: ServeConfig, machine: Machine, notes: list[str]) -> str:
    if config.device != "auto":
        return config.device
    if machine.hardware.gpus:
        return "cuda"
    notes.append(f"device cpu: {machine.hardware.why_no_gpu}")
    return "cpu"


def _dtype(config: ServeConfig, model: ModelConfig, machine: Machine, device: str, notes: list[str]) -> str:
    if config.dtype != "auto":
        return config.dtype
    if device == "cpu":
        notes.append("dtype float32: the exact and, without bfloat16 instructions, the fast choice on a CPU")
        return "float32"
    gpus = machine.hardware.gpus
    if model.dtype == "bfloat16" and gpus and gpus[0].capability < (8, 0):
        major, minor = gpus[0].capability
        notes.append(f"dtype float16: {gpus[0].name} (compute capability {major}.{minor}) has no bfloat16")
        return "float16"
    return model.dtype


def _context(config: ServeConfig, model: ModelConfig) -> int:
    longest = model.decoder.max_position
    if config.max_model_len is not None and config.max_model_len > longest:
        raise PlanError(
            f"--max-model-len {config.max_model_len} is more than the {longest} positions the model was made for; "
            f"use at most {longest}"
        )
    if config.max_model_len is not None and config.max_model_len < 2:
        raise PlanError("--max-model-len must leave room for one token of prompt and one of answer: use at least 2")
    return config.max_model_len or longest


def _image_limit(config: ServeConfig, model: ModelConfig, length: int, notes: list[str]) -> tuple[int | None, int]:
    """The pixel limit that lets one image fit the context, and the tokens of the largest image."""
    if model.vision is None or model.image is None:
        return config.max_pixels, 0
    per_token = (model.vision.patch_size * model.vision.merge_size) ** 2
    max_pixels = config.max_pixels
    if max_pixels is not None and max_pixels < per_token:
        raise PlanError(f"--max-pixels {max_pixels} is less than one token's {per_token} pixels")
    tokens = largest_image_tokens(model, max_pixels)
    fitting = length - min(TEXT_BESIDE_IMAGE, length // 2)
    if tokens > fitting:
        max_pixels = fitting * per_token
        notes.append(
            f"images are scaled to at most {max_pixels} pixels ({fitting} tokens): the model's own limit, {tokens} "
            f"tokens, does not fit a context of {length}; concurrency is not reduced"
        )
        tokens = fitting
    return max_pixels, tokens


def _slow_images(vision: VisionConfig, tokens: int, threads: int, notes: list[str]) -> None:
    seconds = image_work(vision, tokens * vision.merge_size**2) / (threads * THREAD_FLOP)
    if seconds > SLOW_IMAGE_SECONDS:
        pixels = tokens * (vision.patch_size * vision.merge_size) ** 2
        notes.append(
            f"images of up to {tokens} tokens: the largest keep this CPU busy for about {seconds:.0f} s, in which "
            f"every other request waits; --max-pixels below {pixels} shortens that"
        )


def _ignored_on_a_cpu(config: ServeConfig, notes: list[str]) -> None:
    for flag, wanted in (("--cuda-graphs", config.cuda_graphs), ("--portable", config.portable)):
        if wanted:
            notes.append(f"{flag} changes nothing: the model runs on the CPU")
    if config.gpu_memory_utilization != ServeConfig.model_fields["gpu_memory_utilization"].default:
        notes.append("--gpu-memory-utilization changes nothing: the model runs on the CPU; see --kv-cache-memory")


def _gpu_context(
    config: ServeConfig, model: ModelConfig, dtype: str, gpu: Gpu, weights: int, step: int, length: int,
    notes: list[str],
) -> int:  # fmt: skip
    """The context, lowered where the user left it open and the GPU cannot hold one sequence of the model's length.

    An estimate: the engine measures, and has the last word.
    """
    share = int(gpu.total_bytes * config.gpu_memory_utilization)
    allowed = f"--gpu-memory-utilization {config.gpu_memory_utilization:g} of {gpu.name} is {gib(share)}"
    if weights > share:
        halve = "; use --dtype float16, which halves them" if dtype == "float32" else ""
        raise PlanError(f"the weights take {gib(weights)} in {dtype}, and {allowed}{halve}")
    block = kv_bytes_per_token(model.decoder, dtype) * config.block_size
    room = config.kv_cache_memory if config.kv_cache_memory is not None else share - weights - step - GPU_RUNTIME_BYTES
    fits = max(0, room) // block * config.block_size
    if fits >= length or config.max_model_len is not None or fits < 2:
        return length  # what is asked for is tried, and what cannot be is told by the engine, with what it measured
    notes.append(f"context {fits} instead of {length}: about {gib(room)} of KV cache hold no more")
    return fits


def _cpu_cache(
    config: ServeConfig, model: ModelConfig, dtype: str, machine: Machine, weights: int, length: int, sequences: int,
    notes: list[str],
) -> tuple[int, int]:  # fmt: skip
    """Bytes of the KV cache, and the context, lowered only where the user set neither."""
    per_token = kv_bytes_per_token(model.decoder, dtype)
    if weights > machine.available_bytes:
        raise PlanError(
            f"the weights take {gib(weights)} in {dtype}, and this machine has {gib(machine.available_bytes)} left"
            + ("; use --dtype bfloat16, which halves them" if dtype == "float32" else "")
        )
    block = per_token * config.block_size
    one = -(-length // config.block_size) * block
    if config.kv_cache_memory is not None:
        left = machine.available_bytes - weights
        if config.kv_cache_memory > left:
            raise PlanError(
                f"--kv-cache-memory {gib(config.kv_cache_memory)} is more than the {gib(left)} that the weights "
                f"({gib(weights)}) leave on this machine; use --kv-cache-memory {left} or less"
            )
        if config.kv_cache_memory < one:
            fits = config.kv_cache_memory // block * config.block_size
            raise PlanError(
                f"--kv-cache-memory {gib(config.kv_cache_memory)} holds {fits} tokens, and one sequence may have "
                f"{length}, which take {gib(one)}; "
                + (f"use --max-model-len {fits}, or " if fits > 1 else "use ")
                + f"--kv-cache-memory {one} or more"
            )
        return config.kv_cache_memory, length
    room = min(CPU_KV_BYTES, int((machine.available_bytes - weights) * CPU_KV_SHARE))
    if room < one:
        fits = room // block * config.block_size
        if config.max_model_len is not None or fits < 2:
            raise PlanError(
                f"one sequence of {length} tokens takes a KV cache of {gib(one)}, and {gib(room)} is set aside for it; "
                f"use --kv-cache-memory {one} if the machine has it, or --max-model-len {max(fits, 2)}"
            )
        notes.append(f"context {fits} instead of {length}: {gib(room)} of KV cache hold no more")
        length = fits
    return min(room, sequences * one), length
