"""From options to an engine that serves: device, weights, measured memory, KV cache, a first step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from upright.engine.cache_size import Card, cache_blocks
from upright.engine.core import EngineCore
from upright.engine.cuda_memory import CudaMemory
from upright.engine.device_runner import make_runner
from upright.engine.footprint import Footprint, measure
from upright.engine.kept import KeptMeasurements, fingerprint
from upright.engine.memory_errors import is_out_of_memory
from upright.engine.overflow import watch_overflow
from upright.engine.recorder import Recorder
from upright.engine.scheduler import SchedulerLimits
from upright.engine.start_error import StartError, memory_for
from upright.engine.warm_up import run_largest_steps, trial_cache, warm_up
from upright.kernels.attention.batch import KVCache, block_bytes
from upright.kernels.attention.dispatch import NoAttention
from upright.kernels.native.decoder import MAX_ROWS
from upright.messages import AttentionChoice, EngineOptions, Loading, MemoryPart, Ready
from upright.models.loading import load_model
from upright.models.model import Model
from upright.models.model_config import ModelConfig, UnsupportedModel, read_model_config
from upright.models.weight_files import WeightsError
from upright.plan.hardware import cpu_name
from upright.plan.memory import encoder_cache_tokens, gib

if TYPE_CHECKING:
    from upright.engine.faults import Faults

RELEASE_SECONDS = 2.0  # until memory that is not free by then is taken to be somebody's


def start_engine(
    options: EngineOptions,
    tell: Callable[[Loading], None],
    recorder: Recorder | None = None,
    faults: Faults | None = None,
) -> tuple[EngineCore, Ready]:
    """Load the model and make the engine, which writes its steps to `recorder` from then on.

    Raises: StartError.
    """
    began = time.monotonic()
    with memory_for(f"{options.device} itself", "free memory on it"):
        device = _open_device(options)
        dtype = getattr(torch, options.dtype)
        memory = CudaMemory(device, dtype) if device.type == "cuda" else None
    if options.threads:
        torch.set_num_threads(options.threads)
    with _refusals():
        config = read_model_config(Path(options.model_path))
    kept = _kept(config, options, memory)
    free = _free_before(memory, kept) if memory is not None else 0
    with _refusals(), memory_for("the weights", "free memory for them, or use a smaller model"):
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
            options.portable,
            kept.measured,
        )
    kept.keep_measured(model.measured)
    if faults is not None:
        faults.in_load()
    watch = watch_overflow(model, options)
    tell(Loading("memory", 0, 0))
    image_tokens = encoder_cache_tokens(model.config, options.max_num_batched_tokens, options.max_pixels)
    features = image_tokens * model.config.decoder.hidden_size * dtype.itemsize
    card = None
    if memory is not None:
        with memory_for("the largest step", "use a smaller --max-num-batched-tokens, or a lower --max-pixels"):
            footprint = _footprint(model, options, memory, free, kept)
        card = Card(memory.total, free, footprint, model.weight_bytes, features)
    if watch is not None:
        watch.settle()  # the largest steps may have shown something, and no graph that will serve is captured yet
    try:
        cache = _allocate_cache(model, options, card)
        limits = SchedulerLimits(
            options.max_model_len, options.max_num_seqs, options.max_num_batched_tokens, options.max_num_batched_tokens,
            encode_ahead=device.type == "cuda",
        )  # fmt: skip
        tell(Loading("first step", 0, 0))
        with memory_for("a first step", "use a smaller --kv-cache-memory"):
            core = _warm_core(model, cache, options, card, limits, image_tokens)
            while watch is not None and watch.settle():
                core.close()
                del core  # and with it the graphs of layers that were not wide yet
                if memory is not None:
                    memory.release()
                core = _warm_core(model, cache, options, card, limits, image_tokens)
        core.runner.watch = watch
    except StartError as error:
        if error.memory:
            kept.forget_footprint()  # what was measured once may be what is wrong
        raise
    core.recorder = recorder or core.recorder
    core.faults = faults
    ready = Ready(
        device=options.device,
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name() or "CPU",
        dtype=options.dtype,
        attention=_choices(model),
        memory=_memory_parts(model, cache, card, features),
        block_size=cache.block_size,
        blocks=core.scheduler.blocks.total,
        max_model_len=options.max_model_len,
        max_num_seqs=options.max_num_seqs,
        load_seconds=time.monotonic() - began,
        threads=torch.get_num_threads(),
        wide_layers=model.decoder.wide_layers,
    )
    return core, ready


def _open_device(options: EngineOptions) -> torch.device:
    if options.device == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        why = "this PyTorch is built without CUDA" if built is None else f"PyTorch (CUDA {built}) finds no usable GPU"
        raise StartError(f"--device cuda, but {why}", "use --device cpu, or install a PyTorch that fits the driver")
    device = torch.device(options.device)
    # cuDNN's attention plans for 60 ms whenever it meets a new shape, and images and prompts come in all of them.
    torch.backends.cuda.enable_cudnn_sdp(False)
    if device.type == "cuda" and options.dtype == "bfloat16" and torch.cuda.get_device_capability(device) < (8, 0):
        raise StartError(f"{torch.cuda.get_device_name(device)} has no bfloat16", "use --dtype float16")
    return device


@contextmanager
def _refusals() -> Iterator[None]:
    """What loading refuses becomes a StartError."""
    try:
        yield
    except (WeightsError, NoAttention, UnsupportedModel) as error:
        raise StartError(str(error)) from error


def _kept(config: ModelConfig, options: EngineOptions, memory: CudaMemory | None) -> KeptMeasurements:
    if memory is None or options.measured is None:
        return KeptMeasurements(None, "")
    return KeptMeasurements(Path(options.measured), fingerprint(options, repr(config), *memory.facts()))


def _free_before(memory: CudaMemory, kept: KeptMeasurements) -> int:
    """Bytes that are free before the model is loaded. What an engine held that has just died may take a moment."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while not kept.enough(free := memory.free()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return free


def _footprint(
    model: Model, options: EngineOptions, memory: CudaMemory, free: int, kept: KeptMeasurements
) -> Footprint:
    """As an earlier start found it, where there was one like this; else the largest steps are run now."""
    known = kept.footprint(free)
    if known is not None:
        return known
    found = measure(
        memory,
        free,
        lambda: trial_cache(model, options),
        lambda cache: run_largest_steps(model, options, cache),
        lambda core: core.runner.graph_bytes(),
    )
    kept.keep_footprint(found)
    return found


def _allocate_cache(model: Model, options: EngineOptions, card: Card | None) -> KVCache:
    """On a GPU with one block more than sequences may use: decode graphs have rows of nobody's, which write there."""
    decoder = model.config.decoder
    size = block_bytes(decoder.layers, options.block_size, decoder.kv_heads, decoder.head_size, model.dtype)
    blocks = cache_blocks(options, size, card) + (card is not None)
    try:
        return KVCache.allocate(
            decoder.layers, blocks, options.block_size, decoder.kv_heads, decoder.head_size, model.dtype, model.device
        )
    except (RuntimeError, MemoryError) as error:
        raise StartError(
            f"cannot allocate a KV cache of {gib(blocks * size)}: {error}",
            "use a smaller --kv-cache-memory",
            memory=is_out_of_memory(error),
        ) from error


def _warm_core(
    model: Model, cache: KVCache, options: EngineOptions, card: Card | None, limits: SchedulerLimits, image_tokens: int
) -> EngineCore:
    runner = make_runner(model, cache, options, card.graph_room if card is not None else 0)
    core = EngineCore(runner, limits, image_tokens, options.overlap)
    warm_up(core)
    return core


def _memory_parts(model: Model, cache: KVCache, card: Card | None, features: int) -> list[MemoryPart]:
    if card is not None:
        return card.parts(cache.data.nbytes)
    parts = [MemoryPart("weights", model.weight_bytes), MemoryPart("KV cache", cache.data.nbytes)]
    return [*parts, MemoryPart("vision features, at most", features)] if features else parts


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
