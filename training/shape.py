"""The shape of the reader: Qwen2-VL's architecture, small enough to ship."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 4096  # rows of the embedding, which is the head too; the tokenizer may have fewer
    hidden: int = 256
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 768
    # Pairs of a head that turn with time, rows and columns, and how slow the slowest are: rows next to each other are
    # told apart, while some pairs hardly turn over a whole answer
    sections: tuple[int, int, int] = (4, 14, 14)
    theta: float = 1e4
    context: int = 8192
    vision_hidden: int = 256
    vision_layers: int = 8
    vision_heads: int = 4
    vision_ratio: int = 4
    patch: int = 14
    merge: int = 2
    least_pixels: int = 448 * 448  # smaller pictures are made larger, so that small type has tokens enough
    most_pixels: int = 1400 * 28 * 28

    @property
    def head(self) -> int:
        return self.hidden // self.heads

    @property
    def parameters(self) -> int:
        """Trained numbers, all of them in the checkpoint."""
        v, h = self.vision_hidden, self.hidden
        merged = v * self.merge**2
        block = 4 * v * v + 4 * v + 2 * self.vision_ratio * v * v + (self.vision_ratio + 1) * v + 4 * v
        tower = 6 * self.patch**2 * v + self.vision_layers * block + 2 * v
        tower += merged * merged + merged + merged * h + h
        kv = self.kv_heads * self.head
        layer = 2 * h * h + h + 2 * (h * kv + kv) + 3 * h * self.intermediate + 2 * h
        return tower + self.vocabulary * h + self.layers * layer + h


READER = Shape()


def config(shape: Shape, ids: dict[str, int]) -> dict[str, Any]:
    """config.json. `ids`: of the control tokens, by their text."""
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "torch_dtype": "float16",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.intermediate,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": shape.theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(shape.sections)},
        "max_position_embeddings": shape.context,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": True,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_token_id": ids["<|vision_pad|>"],
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_config": {
            "model_type": "qwen2_vl",
            "depth": shape.vision_layers,
            "embed_dim": shape.vision_hidden,
            "hidden_size": shape.hidden,
            "mlp_ratio": shape.vision_ratio,
            "num_heads": shape.vision_heads,
            "in_channels": 3,
            "in_chans": 3,
            "patch_size": shape.patch,
            "spatial_patch_size": shape.patch,
            "spatial_merge_size": shape.merge,
            "temporal_patch_size": 2,
        },
    }


def processor(shape: Shape) -> dict[str, Any]:
    """preprocessor_config.json: plain halves, so that white is 1 and black is -1."""
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "patch_size": shape.patch,
        "merge_size": shape.merge,
        "temporal_patch_size": 2,
        "min_pixels": shape.least_pixels,
        "max_pixels": shape.most_pixels,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
