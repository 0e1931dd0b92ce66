"""The vision towers of Qwen2-VL and Qwen2.5-VL: patches of packed images in, decoder embeddings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from upright.kernels.activation import quick_gelu, silu_gate
from upright.kernels.attention.candidate import Candidate
from upright.kernels.linear import linear
from upright.kernels.normalise import rms_norm
from upright.kernels.rotary import Rotation, rotate_, rotation_of_angles
from upright.models.model_config import VisionConfig
from upright.models.vision_layout import Grid, patch_positions, window_order

_EPSILON = 1e-6
_THETA = 10000.0  # of the rotation; neither architecture lets a checkpoint change it


@dataclass(frozen=True)
class VisionBlock:
    """Weights of one layer. Qwen2-VL has layer norms (with biases) and one `up`; Qwen2.5-VL RMS norms and gate + up."""

    norm1: Tensor
    norm1_bias: Tensor | None
    qkv: Tensor  # [3 * hidden, hidden]
    qkv_bias: Tensor
    output: Tensor
    output_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor | None
    up: Tensor  # [intermediate, hidden], or gate and up together
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor


class VisionTower:
    """Weights and forward pass. `attention` is the candidate that the dispatch chose for packed attention."""

    def __init__(self, config: VisionConfig, dtype: torch.dtype, device: torch.device, attention: Candidate) -> None:
        """Allocates weights without values; `parameters` says where each tensor of a checkpoint goes."""

        def empty(*shape: int) -> Tensor:
            return torch.empty(*shape, dtype=dtype, device=device)

        self.config = config
        self.dtype = dtype
        self.device = device
        self.attention = attention
        self.gated = config.kind == "qwen2_5_vl"
        size = config.hidden_size
        self.patch_shape = (config.in_channels, config.temporal_patch_size, config.patch_size, config.patch_size)
        self.patch_embedding = empty(size, *self.patch_shape)
        self.blocks = tuple(self._empty_block() for _ in range(config.depth))
        merged = size * config.merge_size**2
        self.merger_norm = empty(size)
        self.merger_norm_bias = None if self.gated else empty(size)
        self.merger_up, self.merger_up_bias = empty(merged, merged), empty(merged)
        self.merger_down, self.merger_down_bias = empty(config.output_size, merged), empty(config.output_size)
        quarter = size // config.heads // 2  # half of the pairs turn with the row, half with the column
        exponents = torch.arange(0, quarter, 2, dtype=torch.float32) / quarter
        self.frequencies = (1.0 / _THETA**exponents).to(device)

    def encode(self, patches: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Embeddings [sum of tokens, output_size] of packed images, one after the other in the order of `grids`.

        `patches` [sum of patches, values per patch] as `image_patches` makes them; `grids` holds each image's height
        and width in patches. Every image attends to itself alone.
        """
        config = self.config
        merge = config.merge_size**2
        hidden = linear(patches.to(self.dtype), self.patch_embedding.flatten(1))
        positions = patch_positions(grids, config.merge_size)
        images = tuple(height * width for height, width in grids)
        windows, order = images, None
        if config.window_size is not None:
            window = config.window_size // config.merge_size // config.patch_size
            order, lengths = window_order(grids, config.merge_size, window)
            windows = tuple(length * merge for length in lengths)
            positions = positions.view(2, -1, merge)[:, order].flatten(1)
            order = order.to(hidden.device)
            hidden = hidden.view(-1, merge, config.hidden_size).index_select(0, order).flatten(0, 1)
        turn = self._rotation(positions.to(hidden.device))
        for index, block in enumerate(self.blocks):
            whole = config.window_size is None or index in config.full_attention_layers
            hidden = self._block(block, hidden, turn, images if whole else windows)
        hidden = _norm(hidden, self.merger_norm, self.merger_norm_bias).reshape(-1, self.merger_up.shape[1])
        hidden = functional.gelu(linear(hidden, self.merger_up, self.merger_up_bias))
        merged = linear(hidden, self.merger_down, self.merger_down_bias)
        return merged if order is None else torch.empty_like(merged).index_copy_(0, order, merged)

    def _block(self, block: VisionBlock, hidden: Tensor, turn: Rotation, lengths: tuple[int, ...]) -> Tensor:
        heads = self.config.heads
        size = self.config.hidden_size // heads
        qkv = linear(_norm(hidden, block.norm1, block.norm1_bias), block.qkv, block.qkv_bias)
        qkv = qkv.view(-1, 3 * heads, size)
        rotate_(qkv[:, : 2 * heads], turn)
        query, key, value = qkv.chunk(3, dim=1)
        attended = self.attention.packed(query, key, value, lengths, size**-0.5).flatten(1)
        hidden = hidden + linear(attended, block.output, block.output_bias)
        up = linear(_norm(hidden, block.norm2, block.norm2_bias), block.up, block.up_bias)
        return hidden + linear(silu_gate(up) if self.gated else quick_gelu(up), block.down, block.down_bias)

    def _rotation(self, positions: Tensor) -> Rotation:
        angles = positions.unsqueeze(-1) * self.frequencies  # [2, patches, head_size / 4]
        return rotation_of_angles(torch.cat((angles[0], angles[1]), dim=-1), self.dtype)

    def _empty_block(self) -> VisionBlock:
        def empty(*shape: int) -> Tensor:
            return torch.empty(*shape, dtype=self.dtype, device=self.device)

        size, mlp = self.config.hidden_size, self.config.intermediate_size
        up = 2 * mlp if self.gated else mlp
        return VisionBlock(
            norm1=empty(size),
            norm1_bias=None if self.gated else empty(size),
            qkv=empty(3 * size, size),
            qkv_bias=empty(3 * size),
            output=empty(size, size),
            output_bias=empty(size),
            norm2=empty(size),
            norm2_bias=None if self.gated else empty(size),
            up=empty(up, size),
            up_bias=empty(up),
            down=empty(size, mlp),
            down_bias=empty(size),
        )

    def parameters(self) -> dict[str, Tensor]:
        """Where each tensor of a checkpoint goes: its name without the model's prefix → the part of a weight."""
        slots = {
            "visual.patch_embed.proj.weight": self.patch_embedding,
            "visual.merger.ln_q.weight": self.merger_norm,
            "visual.merger.mlp.0.weight": self.merger_up,
            "visual.merger.mlp.0.bias": self.merger_up_bias,
            "visual.merger.mlp.2.weight": self.merger_down,
            "visual.merger.mlp.2.bias": self.merger_down_bias,
        }
        if self.merger_norm_bias is not None:
            slots["visual.merger.ln_q.bias"] = self.merger_norm_bias
        for index, block in enumerate(self.blocks):
            for name, part in self._block_parameters(block).items():
                slots[f"visual.blocks.{index}.{name}"] = part
        return slots

    def _block_parameters(self, block: VisionBlock) -> dict[str, Tensor]:
        slots = {
            "norm1.weight": block.norm1,
            "attn.qkv.weight": block.qkv,
            "attn.qkv.bias": block.qkv_bias,
            "attn.proj.weight": block.output,
            "attn.proj.bias": block.output_bias,
            "norm2.weight": block.norm2,
        }
        down = "down_proj" if self.gated else "fc2"
        slots |= {f"mlp.{down}.weight": block.down, f"mlp.{down}.bias": block.down_bias}
        for kind, fused in (("weight", block.up), ("bias", block.up_bias)):
            parts = fused.chunk(2) if self.gated else (fused,)
            for name, part in zip(("gate_proj", "up_proj") if self.gated else ("fc1",), parts, strict=True):
                slots[f"mlp.{name}.{kind}"] = part
        for name, bias in (("norm1.bias", block.norm1_bias), ("norm2.bias", block.norm2_bias)):
            if bias is not None:
                slots[name] = bias
        return slots


def _norm(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return rms_norm(x, weight, _EPSILON)
    return functional.layer_norm(x, weight.shape, weight, bias, _EPSILON)
