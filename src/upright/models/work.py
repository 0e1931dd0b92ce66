"""Arithmetic of a model's parts, from their shapes."""

from __future__ import annotations

from upright.models.model_config import DecoderConfig, VisionConfig


def image_work(vision: VisionConfig, patches: int) -> int:
    """FLOP of one image in the tower; attention over a whole image grows with the square of its patches."""
    size = vision.hidden_size
    matrices = 3 if vision.kind == "qwen2_5_vl" else 2  # gate, up and down, or up and down
    layer = 4 * size**2 + matrices * size * vision.intermediate_size
    embedding = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2 * size
    linear = 2 * patches * (vision.depth * layer + embedding)
    merged = size * vision.merge_size**2
    merger = 2 * (patches // vision.merge_size**2) * merged * (merged + vision.output_size)
    whole, window = vision.depth, patches
    if vision.window_size is not None:
        whole = len(vision.full_attention_layers)
        window = min(patches, (vision.window_size // vision.patch_size) ** 2)
    pairs = patches * (whole * patches + (vision.depth - whole) * window)
    return linear + merger + 4 * pairs * size


def layer_weights(decoder: DecoderConfig) -> int:
    """Of the products of one layer."""
    attention = decoder.hidden_size * decoder.head_size * (2 * decoder.heads + 2 * decoder.kv_heads)
    return attention + 3 * decoder.hidden_size * decoder.intermediate_size


def skipped_weights(decoder: DecoderConfig) -> int:
    """The last layer's, but for the first product: a token that nothing is drawn after is not multiplied by them."""
    return layer_weights(decoder) - decoder.hidden_size * decoder.head_size * (decoder.heads + 2 * decoder.kv_heads)
