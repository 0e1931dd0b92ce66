"""From options to an engine that serves: device, weights, measured memory, KV cache, a first step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from upright.engine.core import EngineCore
from upright.engine.memory_errors import is_out_of_memory
from upright.engine.pace import Pace
from upright.engine.recorder import Recorder
from upright.engine.runner import Runner
from upright.engine.scheduler import SchedulerLimits
from upright.kernels.attention.batch import KVCache, block_bytes
from upright.kernels.native.decoder import MAX_ROWS
from upright.messages import AttentionChoice, EngineOptions, Loading, MemoryPart, Ready, Request, SamplingParams
from upright.models.loading import load_model
from upright.models.model import Model
from upright.models.model_config import read_model_config
from upright.plan.hardware import cpu_name
from upright.plan.memory import encoder_cache_tokens, gib, largest_image_tokens

if TYPE_CHECKING:
    from upright.engine.faults import Faults


class StartError(Exception):
    """The engine cannot start as configured; `advice` is the one thing to change.

    `memory`: it lacks memory, so a smaller configuration may start, or the same one when others have let go of theirs.
    """

    def __init__(self, message: str, advice: str = "", memory: bool = False) -> None:
        super().__init__(message)
        self.advice = advice
        self.memory = memory


def start_engine(
    options: EngineOptions,
    tell: Callable[[Loading], None],
    recorder: Recorder | None = None,
    faults: Faults | None = None,
) -> tuple[EngineCore, Ready]:
    """Load the model and make the engine, which writes its steps to `recorder` from then on.

    Raises: StartError, and what loading raises (WeightsError, NoAttention).
    """
    began = time.monotonic()
    with _memory_for(f"{options.device} itself", "free memory on it"):
        device = _open_device(options)
    dtype = getattr(torch, options.dtype)
    if options.threads:
        torch.set_num_threads(options.threads)
    config = read_model_config(Path(options.model_path))
    with _memory_for("the weights", "free memory for them, or use a smaller model"):
        model = load_model(
            Path(options.model_path),
            config,
            dtype,
            device,
            options.load_format,
            options.seed,
            options.max_pixels,
            lambda done, total: tell(Loading("weights", done, total, "B")),
            options.attention,
            options.native,
        )
    if faults is not None:
        faults.in_load()
    tell(Loading("memory", 0, 0))
    encoder_tokens = encoder_cache_tokens(model.config, options.max_num_batched_tokens)
    with _memory_for("the largest step", "use a smaller --max-num-batched-tokens"):
        activations = _activation_bytes(model, options)
    cache, blocks_bytes = _allocate_cache(model, options, activations)
    limits = SchedulerLimits(
        options.max_model_len, options.max_num_seqs, options.max_num_batched_tokens, options.max_num_batched_tokens
    )
    core = EngineCore(Runner(model, cache, limits.max_num_seqs), limits, encoder_tokens)
    tell(Loading("first step", 0, 0))
    with _memory_for("a first step", "use a smaller --kv-cache-memory"):
        warm_up(core)
    core.recorder = recorder or core.recorder
    core.faults = faults
    parts = [MemoryPart("weights", model.weight_bytes), MemoryPart("KV cache", blocks_bytes)]
    if encoder_tokens:
        features = encoder_tokens * model.config.decoder.hidden_size * dtype.itemsize
        parts.append(MemoryPart("vision features, at most", features))
    if activations is not None:
        parts.append(MemoryPart("activations, measured peak", activations))
    ready = Ready(
        device=options.device,
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name() or "CPU",
        dtype=options.dtype,
        attention=_choices(model),
        memory=parts,
        block_size=cache.block_size,
        blocks=cache.blocks,
        max_model_len=options.max_model_len,
        max_num_seqs=options.max_num_seqs,
        load_seconds=time.monotonic() - began,
        threads=torch.get_num_threads(),
    )
    return core, ready


def warm_up(core: EngineCore) -> None:
    """Run short requests, so that the first client does not pay for lazy set-up in torch and its libraries.

    The second one teaches the pace, without the set-up: steps of one token, and one large enough that the first real
    prompt is not expected to be as slow, token by token, as these.
    """
    longest = max(1, core.scheduler.limits.max_model_len - 2)
    for token, length in ((0, min(8, longest)), (1, min(64, longest))):
        core.pace = Pace()
        params = SamplingParams(seed=0, max_tokens=3, temperature=0.0)
        core.submit(Request(id="warm-up", prompt=[token] * length, params=params))
        while core.has_work:
            core.step()


@contextmanager
def _memory_for(what: str, advice: str) -> Iterator[None]:
    """Turn a failed allocation into a StartError."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise StartError(f"there is not enough memory for {what}: {error}", advice, memory=True) from error


def _open_device(options: EngineOptions) -> torch.device:
    if options.device == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        why = "this PyTorch is built without CUDA" if built is None else f"PyTorch (CUDA {built}) finds no usable GPU"
        raise StartError(f"--device cuda, but {why}", "use --device cpu, or install a PyTorch that fits the driver")
    device = torch.device(options.device)
    if device.type == "cuda" and options.dtype == "bfloat16" and torch.cuda.get_device_capability(device) < (8, 0):
        raise StartError(f"{torch.cuda.get_device_name(device)} has no bfloat16", "use --dtype float16")
    return device


def _allocate_cache(model: Model, options: EngineOptions, activations: int | None) -> tuple[KVCache, int]:
    decoder = model.config.decoder
    per_block = block_bytes(decoder.layers, options.block_size, decoder.kv_heads, decoder.head_size, model.dtype)
    budget = options.kv_cache_bytes
    if budget is None:
        free, total = torch.cuda.mem_get_info(model.device)
        budget = int(free - (activations or 0) - (1 - options.gpu_memory_utilization) * total)
    most = -(-options.max_model_len // options.block_size) * options.max_num_seqs
    blocks = min(budget // per_block, most)
    if blocks * options.block_size < options.max_model_len:
        fits, needed = max(0, blocks * options.block_size), options.max_model_len
        raise StartError(
            f"a KV cache of {gib(max(budget, 0))} holds {fits} tokens, and one sequence may have {needed}",
            f"use --max-model-len {fits}" if fits else "give more with --kv-cache-memory",
            memory=options.kv_cache_bytes is None,  # measured: somebody else may hold what is missing
        )
    try:
        cache = KVCache.allocate(
            decoder.layers, blocks, options.block_size, decoder.kv_heads, decoder.head_size, model.dtype, model.device
        )
    except (RuntimeError, MemoryError) as error:
        raise StartError(
            f"cannot allocate a KV cache of {gib(blocks * per_block)}: {error}",
            "use a smaller --kv-cache-memory",
            memory=is_out_of_memory(error),
        ) from error
    return cache, blocks * per_block


def _activation_bytes(model: Model, options: EngineOptions) -> int | None:
    """Peak device memory of the largest step beyond the weights, measured on CUDA; None elsewhere."""
    if model.device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(model.device)
    before = torch.cuda.memory_allocated(model.device)
    decoder = model.config.decoder
    tokens = options.max_num_batched_tokens
    blocks = -(-tokens // options.block_size)
    cache = KVCache.allocate(
        decoder.layers, blocks, options.block_size, decoder.kv_heads, decoder.head_size, model.dtype, model.device
    )
    held = torch.cuda.memory_allocated(model.device) - before
    trial = EngineCore(Runner(model, cache, 1), SchedulerLimits(tokens, 1, tokens, tokens), encoder_cache_tokens=0)
    params = SamplingParams(seed=0, max_tokens=1, temperature=0.0)
    trial.submit(Request(id="trial", prompt=[0] * max(1, tokens - 1), params=params))
    while trial.has_work:
        trial.step()
    if model.vision is not None and model.config.vision is not None:
        vision = model.config.vision
        largest = largest_image_tokens(model.config, options.max_pixels)
        rows = max(largest, tokens) * vision.merge_size**2
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        side = vision.merge_size
        with torch.inference_mode():
            model.vision.encode(torch.zeros(rows, values, device=model.device), [(side, rows // side)])
    peak = torch.cuda.max_memory_allocated(model.device) - before - held
    del trial, cache
    torch.cuda.empty_cache()
    return peak


def _choices(model: Model) -> list[AttentionChoice]:
    decode, prefill = model.decode_attention, model.prefill_attention
    if decode == prefill:
        uses = [("decoder", decode), ("vision", model.vision_attention)]
    else:
        uses = [("decode", decode), ("prefill", prefill), ("vision", model.vision_attention)]
    choices = [
        AttentionChoice(use, choice.candidate.name, dict(choice.declined)) for use, choice in uses if choice is not None
    ]
    if model.native_declined is None:
        choices.insert(0, AttentionChoice(f"decoder, up to {MAX_ROWS} tokens a step", "native", {}))
    elif model.device.type == "cpu":
        choices[0] = AttentionChoice(
            "decoder", choices[0].name, {"native": model.native_declined} | choices[0].declined
        )
    return choices
