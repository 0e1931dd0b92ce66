"""A checkpoint's tensors into a model's weights."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from upright.kernels.attention.candidate import AttentionNeed
from upright.kernels.attention.dispatch import choose
from upright.kernels.attention.measure import PAGE, packed_clock
from upright.kernels.compiled import has_triton
from upright.kernels.measure_linear import measure_linear
from upright.kernels.native.library import NativeUnavailable
from upright.logs import few
from upright.models.decoder import Decoder
from upright.models.model import Measured, Model
from upright.models.model_config import ModelConfig, VisionConfig
from upright.models.vision import VisionTower
from upright.models.weight_files import WeightsError, weight_files

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # bytes done, bytes in total

# How checkpoints of different ages begin the same names; the longest that fits is taken
_PREFIXES = (
    ("model.language_model.", ""),
    ("language_model.model.", ""),
    ("language_model.", ""),
    ("model.visual.", "visual."),
    ("model.", ""),
)
_NO_MEMORY = os.strerror(errno.ENOMEM)  # safetensors' errors carry the kernel's words, but no number
_DUMMY_SPAN = 1_048_573  # values drawn for dummy weights; a prime, so that the rows of a matrix differ


def load_model(
    directory: Path, config: ModelConfig, dtype: torch.dtype, device: torch.device, load_format: str = "auto",
    seed: int = 0, max_pixels: int | None = None, progress: Progress = lambda done, total: None,
    attention: str | None = None, native: bool = True, portable: bool = False, earlier: Measured | None = None,
) -> Model:  # fmt: skip
    """The model in `directory` with weights cast to `dtype` on `device`.

    `load_format` "dummy" draws random weights from `seed` and reads no file. `max_pixels` lowers the image processor's
    limit in the model's config. `attention` forces one candidate by name; `native` lets C serve small steps;
    `portable` takes only what cards before sm80 have. What was measured `earlier` is not measured again.

    Raises: WeightsError, NoAttention, MemoryError.
    """
    if max_pixels is not None and config.image is not None:
        most = min(max_pixels, config.image.max_pixels)
        image = dataclasses.replace(config.image, max_pixels=most, min_pixels=min(config.image.min_pixels, most))
        config = dataclasses.replace(config, image=image)
    earlier = earlier or Measured()
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    need = AttentionNeed(device.type, capability, dtype, config.decoder.head_size, "decode", portable)
    decode_attention = choose(need, attention)
    prefill_attention = choose(dataclasses.replace(need, layout="prefill"), attention)
    decoder = Decoder(config.decoder, dtype, device, decode_attention.candidate, prefill_attention.candidate)
    parameters = decoder.parameters()
    vision = vision_attention = None
    if config.vision is not None:
        head_size = config.vision.hidden_size // config.vision.heads
        need = dataclasses.replace(need, head_size=head_size, layout="packed")
        clock = packed_clock(config.vision.heads, need, device, _packed_layers(config.vision)) if need.modern else None
        vision_attention = choose(need, attention, clock=clock, earlier=earlier.packed)
        vision = VisionTower(config.vision, dtype, device, vision_attention.candidate)
        parameters |= vision.parameters()
    with torch.inference_mode():
        if load_format == "dummy":
            fill_with_dummies(parameters, seed, progress)
        else:
            fill_from_files(parameters, weight_files(directory), progress)
    products = None
    if need.modern and dtype != torch.float32 and has_triton():
        decoder.linear = measured = measure_linear(decoder.matrices(), decoder.gates(), earlier=earlier.products)
        products = list(measured.times)
    native_declined = _use_native(decoder, attention, native)
    return Model(
        config=config,
        decoder=decoder,
        vision=vision,
        decode_attention=decode_attention,
        prefill_attention=prefill_attention,
        vision_attention=vision_attention,
        native_declined=native_declined,
        dtype=dtype,
        device=device,
        weight_bytes=sum(part.nbytes for part in parameters.values()),
        measured=Measured(vision_attention.race if vision_attention is not None else None, products),
    )


def _packed_layers(vision: VisionConfig) -> dict[tuple[int, ...], int]:
    """How many layers attend over runs of which lengths, for an image of a page."""
    if vision.window_size is None:
        return {(PAGE,): vision.depth}
    whole = len(vision.full_attention_layers)
    window = (vision.window_size // vision.patch_size) ** 2
    return {(PAGE,): whole, (window,) * (PAGE // window): vision.depth - whole}


def _use_native(decoder: Decoder, attention: str | None, native: bool) -> str | None:
    """Switch the C layers on; returns why they do not serve, None when they do."""
    if not native:
        return "turned off"
    if attention is not None:
        return f"attention {attention} is forced"
    try:
        decoder.use_native()
    except NativeUnavailable as error:
        return str(error)
    return None


def fill_from_files(parameters: dict[str, Tensor], files: list[Path], progress: Progress) -> None:
    """Copy every tensor of `files` into its place. Raises: WeightsError for a bad file, a wrong shape, a gap.

    NOTE: weights are copied out of the files, never mapped: a mapped page can be evicted and read again from disk in
    the middle of a step, and has no huge pages.
    """
    total = sum(file.stat().st_size for file in files)
    done = 0
    unused: list[str] = []
    missing = set(parameters)
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                    target = parameters.get(canonical_name(name))
                    if target is None:
                        unused.append(name)
                        continue
                    tensor = tensors.get_tensor(name)
                    _copy(tensor, target, name, file)
                    missing.discard(canonical_name(name))
                    done += tensor.nbytes
                    progress(min(done, total), total)
        except (SafetensorError, OSError) as error:
            if _NO_MEMORY in str(error):
                raise MemoryError(f"{file} cannot be mapped: {error}") from error
            raise WeightsError(f"{file} cannot be read: {error}; download it again") from error
    if missing:
        raise WeightsError(f"the weights lack {len(missing)} of {len(parameters)} tensors: {few(sorted(missing))}")
    if unused:
        log.debug("%d tensors of the checkpoint are not used: %s", len(unused), few(unused))
    progress(total, total)


def fill_with_dummies(parameters: dict[str, Tensor], seed: int, progress: Progress) -> None:
    """Random weights from `seed`: norms 1, biases 0, matrices normal with a deviation that keeps activations level."""
    total = sum(part.nbytes for part in parameters.values())
    done = 0
    device = next(iter(parameters.values())).device
    generator = torch.Generator(device).manual_seed(seed)
    drawn = torch.randn(_DUMMY_SPAN, generator=generator, device=device)
    for name, part in parameters.items():
        if name.endswith("bias"):
            part.zero_()
        elif part.dim() == 1:
            part.fill_(1.0)
        else:
            deviation = (part.numel() // part.shape[0]) ** -0.5
            span = (drawn * deviation).to(part.dtype)
            flat = part.view(-1)
            for chunk in torch.split(flat, _DUMMY_SPAN):
                chunk.copy_(span[: len(chunk)])
        done += part.nbytes
        progress(done, total)


def canonical_name(name: str) -> str:
    """A tensor's name without the prefix that its checkpoint's layout puts before it."""
    for prefix, replacement in _PREFIXES:
        if name.startswith(prefix):
            return replacement + name.removeprefix(prefix)
    return name


def _copy(tensor: Tensor, target: Tensor, name: str, file: Path) -> None:
    if tensor.shape != target.shape:
        raise WeightsError(
            f"{name} in {file.name} has shape {list(tensor.shape)}, but config.json asks for {list(target.shape)}"
        )
    if not tensor.is_floating_point():
        raise WeightsError(f"{name} in {file.name} holds {tensor.dtype}; only floating-point weights are supported")
    target.copy_(tensor)
