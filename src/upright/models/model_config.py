"""A model as its `config.json` describes it, in one shape whatever wrote the file. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SUPPORTED_ARCHITECTURES = (
    "Qwen2VLForConditionalGeneration",
    "Qwen2_5_VLForConditionalGeneration",
    "Qwen2ForCausalLM",
    "LlamaForCausalLM",
)


class UnsupportedModel(Exception):
    """The model cannot be served as its files describe it. The message says why and what would do."""


@dataclass(frozen=True)
class RopeConfig:
    """Rotary embedding. `sections` splits the half head size over (time, height, width); None means plain RoPE."""

    kind: Literal["default", "linear", "llama3"]
    theta: float
    sections: tuple[int, int, int] | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 0


@dataclass(frozen=True)
class DecoderConfig:
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocab_size: int
    rms_norm_eps: float
    rope: RopeConfig
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    tied_embeddings: bool
    max_position: int


@dataclass(frozen=True)
class VisionConfig:
    """A Qwen2-VL or Qwen2.5-VL vision tower."""

    kind: Literal["qwen2_vl", "qwen2_5_vl"]
    depth: int
    hidden_size: int
    heads: int
    intermediate_size: int
    output_size: int  # the decoder's hidden size
    patch_size: int
    temporal_patch_size: int
    merge_size: int
    in_channels: int
    window_size: int | None = None  # pixels; None: every layer attends to the whole image
    full_attention_layers: tuple[int, ...] = ()
    tokens_per_second: int = 1


@dataclass(frozen=True)
class ImageProcessing:
    min_pixels: int
    max_pixels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class GenerationDefaults:
    """What `generation_config.json` sets; None where it is silent."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None


@dataclass(frozen=True)
class ModelConfig:
    architecture: str
    decoder: DecoderConfig
    vision: VisionConfig | None
    image: ImageProcessing | None
    dtype: str  # as stored: "float32", "float16" or "bfloat16"
    eos_token_ids: tuple[int, ...]
    image_token_id: int | None
    video_token_id: int | None
    generation: GenerationDefaults


Json = Mapping[str, Any]

_ARCHITECTURE_OF_TYPE = dict(zip(("qwen2_vl", "qwen2_5_vl", "qwen2", "llama"), SUPPORTED_ARCHITECTURES, strict=True))
_VISION_KIND: dict[str, Literal["qwen2_vl", "qwen2_5_vl"]] = {
    "Qwen2VLForConditionalGeneration": "qwen2_vl",
    "Qwen2_5_VLForConditionalGeneration": "qwen2_5_vl",
}
_ROPE_KINDS: dict[str, Literal["default", "linear", "llama3"]] = {
    "default": "default",
    "mrope": "default",  # the sections say the rest
    "linear": "linear",
    "llama3": "llama3",
}
_IMAGE_TOKEN_ID, _VIDEO_TOKEN_ID = 151655, 151656  # of every released Qwen2-VL and Qwen2.5-VL
_DTYPES = ("float32", "float16", "bfloat16")


def read_model_config(directory: Path) -> ModelConfig:
    """The model in `directory`, from config.json, generation_config.json and the image processor's configuration.

    Understands what transformers 4 and 5 write: text options flat or under `text_config`, `rope_scaling` or
    `rope_parameters`, `torch_dtype` or `dtype`, tied embeddings at either level, image limits as pixels or edges.

    Raises: UnsupportedModel.
    """
    config = _read_json(directory / "config.json")
    if config is None:
        raise UnsupportedModel(f"{directory} holds no config.json; give the directory of a Hugging Face checkpoint")
    architecture = _architecture(config)
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unknown")
        raise UnsupportedModel(f"the weights are quantized ({method}); only float32, float16 and bfloat16 are served")
    text: Json = {**config, **(config.get("text_config") or {})}
    generation = _read_json(directory / "generation_config.json") or {}
    try:
        kind = _VISION_KIND.get(architecture)
        decoder = _decoder_config(architecture, text, tied=_tied(config))
        vision = _vision_config(kind, config, decoder.hidden_size) if kind else None
        image = _image_processing(directory, vision) if vision else None
        return ModelConfig(
            architecture=architecture,
            decoder=decoder,
            vision=vision,
            image=image,
            dtype=_dtype(config, text),
            eos_token_ids=_eos_token_ids(generation, text),
            image_token_id=config.get("image_token_id", _IMAGE_TOKEN_ID) if vision else None,
            video_token_id=config.get("video_token_id", _VIDEO_TOKEN_ID) if vision else None,
            generation=GenerationDefaults(
                **{name: generation.get(name) for name in GenerationDefaults.__dataclass_fields__}
            ),
        )
    except KeyError as error:
        raise UnsupportedModel(f"{directory}/config.json does not say {error.args[0]!r}, which is needed") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UnsupportedModel(f"{directory}/config.json does not describe a {architecture}: {error}") from error


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UnsupportedModel(f"{path} must hold a JSON object, and holds a {type(content).__name__}")
    return content


def _architecture(config: Json) -> str:
    named = config.get("architectures") or []
    known = _ARCHITECTURE_OF_TYPE.get(str(config.get("model_type")))
    for name in named if isinstance(named, list) else [named]:
        if name in SUPPORTED_ARCHITECTURES:
            return str(name)
    if not named and known:  # a configuration that was saved without its model names only the type
        return known
    found = ", ".join(map(str, named)) or f"model type {config.get('model_type')!r}"
    raise UnsupportedModel(f"{found} is not supported; supported are: {', '.join(SUPPORTED_ARCHITECTURES)}")


def _tied(config: Json) -> bool:
    inner = config.get("text_config") or {}
    return bool(config.get("tie_word_embeddings", False) or inner.get("tie_word_embeddings", False))


def _dtype(config: Json, text: Json) -> str:
    for source in (config, text):
        for name in ("dtype", "torch_dtype"):
            if source.get(name):
                dtype = str(source[name]).removeprefix("torch.")
                if dtype not in _DTYPES:
                    raise UnsupportedModel(f"weights in {dtype} are not supported; supported are: {', '.join(_DTYPES)}")
                return dtype
    return "float32"


def _eos_token_ids(generation: Json, text: Json) -> tuple[int, ...]:
    ids = generation.get("eos_token_id")
    ids = text.get("eos_token_id") if ids is None else ids
    if ids is None:
        return ()
    return tuple(int(i) for i in ids) if isinstance(ids, list) else (int(ids),)


def _decoder_config(architecture: str, text: Json, tied: bool) -> DecoderConfig:
    llama = architecture == "LlamaForCausalLM"
    layers, heads = int(text["num_hidden_layers"]), int(text["num_attention_heads"])
    head_size = int(text.get("head_dim") or text["hidden_size"] // heads)
    if (activation := text.get("hidden_act", "silu")) != "silu":
        raise UnsupportedModel(f"the activation {activation!r} is not supported in the decoder; silu is")
    _refuse_sliding_window(text, layers)
    return DecoderConfig(
        hidden_size=int(text["hidden_size"]),
        intermediate_size=int(text["intermediate_size"]),
        layers=layers,
        heads=heads,
        kv_heads=int(text.get("num_key_value_heads") or heads),
        head_size=head_size,
        vocab_size=int(text["vocab_size"]),
        rms_norm_eps=float(text.get("rms_norm_eps", 1e-6)),
        rope=_rope_config(text, head_size, vision=architecture in _VISION_KIND),
        qkv_bias=bool(text.get("attention_bias", False)) if llama else True,
        output_bias=bool(text.get("attention_bias", False)) if llama else False,
        mlp_bias=bool(text.get("mlp_bias", False)) if llama else False,
        tied_embeddings=tied,
        max_position=int(text.get("max_position_embeddings", 32768)),
    )


def _refuse_sliding_window(text: Json, layers: int) -> None:
    reached = int(text.get("max_window_layers") or 0) < layers
    in_use = bool(text.get("use_sliding_window") and text.get("sliding_window")) and reached
    if in_use or "sliding_attention" in (text.get("layer_types") or ()):
        raise UnsupportedModel("sliding-window attention is not supported; the model asks for it in config.json")


def _rope_config(text: Json, head_size: int, vision: bool) -> RopeConfig:
    rope: Json = text.get("rope_parameters") or text.get("rope_scaling") or {}
    named = str(rope.get("rope_type") or rope.get("type") or "default")
    kind = _ROPE_KINDS.get(named)
    if kind is None:
        raise UnsupportedModel(f"rope type {named!r} is not supported; supported are: {', '.join(_ROPE_KINDS)}")
    if float(rope.get("partial_rotary_factor", text.get("partial_rotary_factor")) or 1.0) != 1.0:
        raise UnsupportedModel("a partial rotary embedding (partial_rotary_factor) is not supported")
    sections = tuple(int(n) for n in rope.get("mrope_section", (16, 24, 24))) if vision else None
    if sections is not None and (len(sections) != 3 or sum(sections) * 2 != head_size):
        raise UnsupportedModel(f"mrope_section {list(sections)} must be three numbers that sum to {head_size // 2}")
    original = rope.get("original_max_position_embeddings") or text.get("original_max_position_embeddings")
    return RopeConfig(
        kind=kind,
        theta=float(rope.get("rope_theta") or text.get("rope_theta") or (1e6 if vision else 1e4)),
        sections=None if sections is None else (sections[0], sections[1], sections[2]),
        factor=float(rope.get("factor", 1.0)),
        low_freq_factor=float(rope.get("low_freq_factor", 1.0)),
        high_freq_factor=float(rope.get("high_freq_factor", 4.0)),
        original_max_position=int(original or text.get("max_position_embeddings", 0)),
    )


def _vision_config(kind: Literal["qwen2_vl", "qwen2_5_vl"], config: Json, decoder_size: int) -> VisionConfig:
    vision: Json = config["vision_config"]
    windowed = kind == "qwen2_5_vl"
    size = int(vision["hidden_size"] if windowed else vision["embed_dim"])
    output = int(vision.get("out_hidden_size", decoder_size) if windowed else vision.get("hidden_size", decoder_size))
    if output != decoder_size:
        raise UnsupportedModel(
            f"the vision tower's output has {output} values, the decoder's hidden size {decoder_size}"
        )
    activation = vision.get("hidden_act", "silu" if windowed else "quick_gelu")
    if activation != ("silu" if windowed else "quick_gelu"):
        raise UnsupportedModel(f"the activation {activation!r} is not supported in a {kind} vision tower")
    return VisionConfig(
        kind=kind,
        depth=int(vision["depth"]),
        hidden_size=size,
        heads=int(vision["num_heads"]),
        intermediate_size=int(vision["intermediate_size"] if windowed else size * vision.get("mlp_ratio", 4)),
        output_size=output,
        patch_size=int(vision.get("patch_size", 14)),
        temporal_patch_size=int(vision.get("temporal_patch_size", 2)),
        merge_size=int(vision.get("spatial_merge_size", 2)),
        in_channels=int(vision.get("in_channels", vision.get("in_chans", 3))),
        window_size=int(vision.get("window_size", 112)) if windowed else None,
        full_attention_layers=tuple(vision.get("fullatt_block_indexes", (7, 15, 23, 31))) if windowed else (),
        tokens_per_second=int(vision.get("tokens_per_second", 4)) if windowed else 1,
    )


def _image_processing(directory: Path, vision: VisionConfig) -> ImageProcessing:
    processor = _read_json(directory / "preprocessor_config.json")
    if processor is None:  # transformers 5 saves a whole processor as one file
        processor = (_read_json(directory / "processor_config.json") or {}).get("image_processor")
    if processor is None:
        raise UnsupportedModel(
            f"{directory} holds no preprocessor_config.json (nor an image_processor in processor_config.json), which "
            "says how images are prepared; copy it from the original model"
        )
    for name, expected in (("patch_size", vision.patch_size), ("temporal_patch_size", vision.temporal_patch_size),
                           ("merge_size", vision.merge_size), ("resample", 3), ("do_resize", True),
                           ("do_rescale", True), ("do_normalize", True)):  # fmt: skip
        if processor.get(name, expected) != expected:
            raise UnsupportedModel(
                f"the image processor's {name} is {processor[name]!r}; only {expected!r} is supported"
            )
    if abs(processor.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-9:
        raise UnsupportedModel(f"the image processor's rescale_factor is {processor['rescale_factor']}, not 1/255")
    size = processor.get("size") or {}
    least = processor.get("min_pixels") or size.get("shortest_edge") or size.get("min_pixels") or 56 * 56
    most = processor.get("max_pixels") or size.get("longest_edge") or size.get("max_pixels") or 28 * 28 * 1280
    mean = processor.get("image_mean", (0.48145466, 0.4578275, 0.40821073))
    std = processor.get("image_std", (0.26862954, 0.26130258, 0.27577711))
    return ImageProcessing(
        min_pixels=int(least),
        max_pixels=int(most),
        mean=(float(mean[0]), float(mean[1]), float(mean[2])),
        std=(float(std[0]), float(std[1]), float(std[2])),
    )
