"""The reader's architecture, small enough to train in a test; its vocabulary is the small tokenizer's."""

from __future__ import annotations

from training.shape import Shape

SHAPE = Shape(
    vocabulary=272, hidden=64, layers=2, heads=2, kv_heads=1, intermediate=96, sections=(4, 6, 6), vision_hidden=64,
    vision_layers=2, vision_heads=2, vision_ratio=2, least_pixels=56 * 56,
)  # fmt: skip
