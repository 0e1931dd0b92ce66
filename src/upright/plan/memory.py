"""Memory, by arithmetic: what a model's parts take, and what this machine has. Imports no torch."""

from __future__ import annotations

import math
import resource
from pathlib import Path

from upright.models.model_config import DecoderConfig, ModelConfig

PROGRAM_BYTES = 3 * 2**29  # of address space that an engine maps beside weights and cache: libraries, threads
DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def kv_bytes_per_token(decoder: DecoderConfig, dtype: str) -> int:
    """Keys and values of one token on all layers."""
    return decoder.layers * 2 * decoder.kv_heads * decoder.head_size * DTYPE_BYTES[dtype]


def weight_bytes(config: ModelConfig, dtype: str) -> int:
    """All weights of the model, in the format that it runs in; exact but for the smallest tensors."""
    d = config.decoder
    attention = d.hidden_size * d.head_size * (d.heads + 2 * d.kv_heads) + d.heads * d.head_size * d.hidden_size
    layer = attention + 3 * d.hidden_size * d.intermediate_size + 2 * d.hidden_size
    total = d.layers * layer + d.vocab_size * d.hidden_size * (1 if d.tied_embeddings else 2)
    if config.vision is not None:
        v = config.vision
        mlp = (3 if v.kind == "qwen2_5_vl" else 2) * v.hidden_size * v.intermediate_size
        merged = v.hidden_size * v.merge_size**2
        patch = v.in_channels * v.temporal_patch_size * v.patch_size**2
        total += v.depth * (4 * v.hidden_size**2 + mlp) + patch * v.hidden_size + merged**2 + merged * v.output_size
    return total * DTYPE_BYTES[dtype]


def largest_image_tokens(config: ModelConfig, max_pixels: int | None) -> int:
    """Tokens of the largest image that the limits allow; 0 for a model without a vision tower."""
    if config.vision is None or config.image is None:
        return 0
    pixels = config.image.max_pixels if max_pixels is None else min(max_pixels, config.image.max_pixels)
    return max(1, pixels // (config.vision.patch_size * config.vision.merge_size) ** 2)


def encoder_cache_tokens(config: ModelConfig, max_num_batched_tokens: int, max_pixels: int | None = None) -> int:
    """Room for vision features, in tokens: the largest image, or four steps' worth, whichever is more."""
    if config.vision is None:
        return 0
    return max(largest_image_tokens(config, max_pixels), 4 * max_num_batched_tokens)


def largest_step_bytes(config: ModelConfig, dtype: str, tokens: int, sequences: int, image_tokens: int) -> int:
    """Estimate of what the largest step needs beside weights and caches: a full budget, a full batch, full images."""
    decoder, vision, size = config.decoder, config.vision, DTYPE_BYTES[dtype]
    layers = tokens * (6 * decoder.hidden_size + 3 * decoder.intermediate_size) * size
    logits = 3 * sequences * decoder.vocab_size * 4  # float32: as they come, adjusted, and as probabilities
    tower = 0
    if vision is not None:
        patches = max(tokens, image_tokens) * vision.merge_size**2
        pixels = 2 * vision.in_channels * vision.temporal_patch_size * vision.patch_size**2 * 4
        tower = patches * (pixels + (6 * vision.hidden_size + 2 * vision.intermediate_size) * size)
    return max(layers + logits, tower)


def available_memory() -> int:
    """Bytes of main memory that an engine may still take: the kernel's estimate, within the limits of the cgroup and of
    the address space (`ulimit -v`), which every process has to itself.
    """
    available = _meminfo("MemAvailable")
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        available = min(available, address_space - PROGRAM_BYTES)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            available = min(available, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue  # no such cgroup version here, or "max"
    return max(0, available)


def gib(size: int) -> str:
    """Bytes for a person: `3.25 GiB`, `38.0 MiB`, `512 B`."""
    if size < 1024:
        return f"{size} B"
    unit = min(3, int(math.log(size, 1024)))
    return f"{size / 1024**unit:.{2 if unit == 3 else 1}f} {('KiB', 'MiB', 'GiB')[unit - 1]}"


def _meminfo(field: str) -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 2**62  # not Linux: nothing is known, so nothing is limited
