"""The vision towers of Qwen2-VL and Qwen2.5-VL: patches of packed images in, decoder embeddings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from upright.kernels.activation import quick_gelu, silu_gate
from upright.kernels.attention.candidate import Candidate
from upright.kernels.attention.runs import Runs
from upright.kernels.layer_norm import add_layer_norm, layer_norm
from upright.kernels.linear import linear
from upright.kernels.normalise import add_rms_norm, rms_norm
from upright.kernels.rotary import Rotation, rotate_, rotation_of_positions
from upright.kernels.transfer import sent
from upright.models.model_config import VisionConfig
from upright.models.vision_layout import Grid, layout_of

_EPSILON = 1e-6
_THETA = 10000.0  # of the rotation; neither architecture lets a checkpoint change it


@dataclass(frozen=True)
class Norm:
    """A layer norm, or without `bias` an RMS norm."""

    weight: Tensor
    bias: Tensor | None

    def of(self, hidden: Tensor) -> Tensor:
        if self.bias is None:
            return rms_norm(hidden, self.weight, _EPSILON)
        return layer_norm(hidden, self.weight, self.bias, _EPSILON)

    def of_sum(self, hidden: Tensor, delta: Tensor) -> Tensor:
        """Add `delta` to `hidden` in place, then normalise."""
        if self.bias is None:
            return add_rms_norm(hidden, delta, self.weight, _EPSILON)
        return add_layer_norm(hidden, delta, self.weight, self.bias, _EPSILON)


@dataclass(frozen=True)
class VisionBlock:
    """Weights of one layer. Qwen2-VL has layer norms and one `up`; Qwen2.5-VL has RMS norms and gate + up."""

    norm1: Norm
    qkv: Tensor  # [3 * hidden, hidden]
    qkv_bias: Tensor
    output: Tensor
    output_bias: Tensor
    norm2: Norm
    up: Tensor  # [intermediate, hidden], or gate and up together
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor


@dataclass(frozen=True)
class TowerLayout:
    """How the packed images of a pass lie, on the tower's device."""

    positions: Tensor  # int [2, patches]: row and column of each patch
    images: Runs
    windows: Runs
    order: Tensor | None  # int64 [merged tokens]: from the images' order to the windows'; None: they are the same


class VisionTower:
    """Weights and forward pass. `attention` is the candidate that the dispatch chose for packed attention."""

    def __init__(self, config: VisionConfig, dtype: torch.dtype, device: torch.device, attention: Candidate) -> None:
        """Allocates weights without values; `parameters` says where each tensor of a checkpoint goes."""
        self.config = config
        self.dtype = dtype
        self.device = device
        self.attention = attention
        self.gated = config.kind == "qwen2_5_vl"
        size = config.hidden_size
        patch_shape = (config.in_channels, config.temporal_patch_size, config.patch_size, config.patch_size)
        self.patch_embedding = self._empty(size, *patch_shape)
        self.blocks = tuple(self._empty_block() for _ in range(config.depth))
        merged = size * config.merge_size**2
        self.merger_norm = self._empty_norm()
        self.merger_up, self.merger_up_bias = self._empty(merged, merged), self._empty(merged)
        self.merger_down = self._empty(config.output_size, merged)
        self.merger_down_bias = self._empty(config.output_size)
        quarter = size // config.heads // 4  # half of the pairs turn with the row, half with the column
        frequencies = 1.0 / _THETA ** (torch.arange(quarter, dtype=torch.float32) / quarter)
        self._frequencies = frequencies.repeat(2).to(device)
        self._axes = torch.arange(2, device=device).repeat_interleave(quarter)

    def encode(self, patches: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Embeddings [sum of tokens, output_size] of packed images, one after the other in the order of `grids`.

        `patches` [sum of patches, values per patch] as `image_patches` makes them; `grids` holds each image's height
        and width in patches. Every image attends to itself alone.
        """
        tower_pass = TowerPass(self, patches, self.layout(grids))
        tower_pass.advance(self.config.depth)
        return tower_pass.features

    def layout(self, grids: Sequence[Grid]) -> TowerLayout:
        """What a pass of such images needs besides their patches. On a GPU nothing here waits for it."""
        layout = layout_of(tuple(grids), self.config)
        order = None if layout.order is None else sent(layout.order, self.device)
        return TowerLayout(sent(layout.positions, self.device), Runs(layout.images), Runs(layout.windows), order)

    def attend(self, block: VisionBlock, normed: Tensor, turn: Rotation, runs: Runs) -> Tensor:
        """The attention half of a layer, [patches, hidden]: what is to be added to the residual."""
        heads = self.config.heads
        size = self.config.hidden_size // heads
        qkv = linear(normed, block.qkv, block.qkv_bias).view(-1, 3 * heads, size)
        rotate_(qkv[:, : 2 * heads], turn)
        query, key, value = qkv.chunk(3, dim=1)
        attended = self.attention.packed(query, key, value, runs, size**-0.5).flatten(1)
        return linear(attended, block.output, block.output_bias)

    def feed_forward(self, block: VisionBlock, normed: Tensor) -> Tensor:
        """The other half."""
        up = linear(normed, block.up, block.up_bias)
        return linear(silu_gate(up) if self.gated else quick_gelu(up), block.down, block.down_bias)

    def merge(self, normed: Tensor) -> Tensor:
        """Neighbouring patches to one embedding: [patches, hidden] to [tokens, output_size]."""
        hidden = functional.gelu(linear(normed.view(-1, self.merger_up.shape[1]), self.merger_up, self.merger_up_bias))
        return linear(hidden, self.merger_down, self.merger_down_bias)

    def rotation(self, positions: Tensor) -> Rotation:
        """The turn of queries and keys at `positions`, int [2, patches] on the tower's device."""
        return rotation_of_positions(positions, self._frequencies, self._axes, self.dtype)

    def norm_after(self, layer: int) -> Norm:
        """The norm that reads what layer number `layer` has added."""
        return self.blocks[layer + 1].norm1 if layer + 1 < len(self.blocks) else self.merger_norm

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(*shape, dtype=self.dtype, device=self.device)

    def _empty_norm(self) -> Norm:
        size = self.config.hidden_size
        return Norm(self._empty(size), None if self.gated else self._empty(size))

    def _empty_block(self) -> VisionBlock:
        size, mlp = self.config.hidden_size, self.config.intermediate_size
        up = 2 * mlp if self.gated else mlp
        return VisionBlock(
            norm1=self._empty_norm(),
            qkv=self._empty(3 * size, size),
            qkv_bias=self._empty(3 * size),
            output=self._empty(size, size),
            output_bias=self._empty(size),
            norm2=self._empty_norm(),
            up=self._empty(up, size),
            up_bias=self._empty(up),
            down=self._empty(size, mlp),
            down_bias=self._empty(size),
        )

    def parameters(self) -> dict[str, Tensor]:
        """Where each tensor of a checkpoint goes: its name without the model's prefix → the part of a weight."""
        slots = {
            "visual.patch_embed.proj.weight": self.patch_embedding,
            "visual.merger.ln_q.weight": self.merger_norm.weight,
            "visual.merger.mlp.0.weight": self.merger_up,
            "visual.merger.mlp.0.bias": self.merger_up_bias,
            "visual.merger.mlp.2.weight": self.merger_down,
            "visual.merger.mlp.2.bias": self.merger_down_bias,
        }
        if self.merger_norm.bias is not None:
            slots["visual.merger.ln_q.bias"] = self.merger_norm.bias
        for index, block in enumerate(self.blocks):
            for name, part in self._block_parameters(block).items():
                slots[f"visual.blocks.{index}.{name}"] = part
        return slots

    def _block_parameters(self, block: VisionBlock) -> dict[str, Tensor]:
        slots = {
            "norm1.weight": block.norm1.weight,
            "attn.qkv.weight": block.qkv,
            "attn.qkv.bias": block.qkv_bias,
            "attn.proj.weight": block.output,
            "attn.proj.bias": block.output_bias,
            "norm2.weight": block.norm2.weight,
        }
        down = "down_proj" if self.gated else "fc2"
        slots |= {f"mlp.{down}.weight": block.down, f"mlp.{down}.bias": block.down_bias}
        for kind, fused in (("weight", block.up), ("bias", block.up_bias)):
            parts = fused.chunk(2) if self.gated else (fused,)
            for name, part in zip(("gate_proj", "up_proj") if self.gated else ("fc1",), parts, strict=True):
                slots[f"mlp.{name}.{kind}"] = part
        for name, bias in (("norm1.bias", block.norm1.bias), ("norm2.bias", block.norm2.bias)):
            if bias is not None:
                slots[name] = bias
        return slots


class TowerPass:
    """Packed images on their way through the tower, some layers at a time."""

    def __init__(self, tower: VisionTower, patches: Tensor, layout: TowerLayout) -> None:
        self._tower = tower
        self._layout = layout
        self.layer = 0  # the next one to be queued
        # Half precision reaches 65,504, and some values of a residual go beyond in the deeper layers.
        wide = torch.float32 if tower.dtype == torch.float16 else tower.dtype
        hidden = linear(patches.to(tower.dtype), tower.patch_embedding.flatten(1)).to(wide)
        if layout.order is not None:
            merged = hidden.view(len(layout.order), -1)
            hidden = merged.index_select(0, layout.order).view_as(hidden)
        self._hidden = hidden
        self._normed = tower.blocks[0].norm1.of(hidden)
        self._turn = tower.rotation(layout.positions)

    @property
    def done(self) -> bool:
        """All layers have been queued, and `features` may be taken."""
        return self.layer == self._tower.config.depth

    @property
    def hidden(self) -> Tensor:
        """The residual [patches, hidden] as it is now."""
        return self._hidden

    def advance(self, layers: int) -> None:
        """Carry on by at most `layers` layers."""
        tower, layout, config = self._tower, self._layout, self._tower.config
        for layer in range(self.layer, min(self.layer + layers, config.depth)):
            block = tower.blocks[layer]
            whole = config.window_size is None or layer in config.full_attention_layers
            attended = tower.attend(block, self._normed, self._turn, layout.images if whole else layout.windows)
            self._normed = block.norm2.of_sum(self._hidden, attended)
            self._normed = tower.norm_after(layer).of_sum(self._hidden, tower.feed_forward(block, self._normed))
            self.layer = layer + 1

    @cached_property
    def features(self) -> Tensor:
        """Embeddings [tokens, output_size]; only once the pass is done."""
        merged, order = self._tower.merge(self._normed), self._layout.order
        return merged if order is None else torch.empty_like(merged).index_copy_(0, order, merged)
