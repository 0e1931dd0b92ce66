"""A model as its `config.json` describes it, in one shape whatever wrote the file. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
