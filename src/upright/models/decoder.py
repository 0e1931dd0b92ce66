"""The text decoder of Qwen2, Qwen2-VL, Qwen2.5-VL and Llama: one set of weights and one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from upright.kernels.activation import silu_gate
from upright.kernels.attention.batch import KVCache, PagedBatch
from upright.kernels.attention.candidate import Candidate
from upright.kernels.kv_store import store
from upright.kernels.linear import linear
from upright.kernels.native.decoder import MAX_ROWS, NativeDecoder, NativeShape
from upright.kernels.normalise import rms_norm
from upright.kernels.rotary import rotate_
from upright.models.model_config import DecoderConfig
from upright.models.rope import inverse_frequencies, rotation, section_axes


@dataclass(frozen=True)
class DecoderLayer:
    """Weights of one layer; every projection is [out, in]. Query, key and value lie in one, gate and up in another."""

    input_norm: Tensor
    qkv: Tensor  # [(heads + 2 * kv_heads) * head_size, hidden]
    qkv_bias: Tensor | None
    output: Tensor  # [hidden, heads * head_size]
    output_bias: Tensor | None
    mlp_norm: Tensor
    gate_up: Tensor  # [2 * intermediate, hidden]
    gate_up_bias: Tensor | None
    down: Tensor  # [hidden, intermediate]
    down_bias: Tensor | None


class Decoder:
    """Weights and forward pass. `attention` is the candidate that the dispatch chose for paged attention."""

    def __init__(self, config: DecoderConfig, dtype: torch.dtype, device: torch.device, attention: Candidate) -> None:
        """Allocates weights without values; `parameters` says where each tensor of a checkpoint goes."""
        self.config = config
        self.dtype = dtype
        self.attention = attention
        self.embedding = torch.empty(config.vocab_size, config.hidden_size, dtype=dtype, device=device)
        self.head = self.embedding if config.tied_embeddings else torch.empty_like(self.embedding)
        self.final_norm = torch.empty(config.hidden_size, dtype=dtype, device=device)
        self.layers = tuple(_empty_layer(config, dtype, device) for _ in range(config.layers))
        self.native: NativeDecoder | None = None
        self.frequencies = inverse_frequencies(config.rope, config.head_size).to(device)
        sections = config.rope.sections
        self.axes = None if sections is None else section_axes(sections).to(device)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings [T, hidden] of token ids int64 [T]."""
        return functional.embedding(ids, self.embedding)

    def forward(self, hidden: Tensor, positions: Tensor, kv: KVCache, batch: PagedBatch) -> Tensor:
        """Final hidden states [T, hidden], normalised, of embeddings [T, hidden] at positions int64 [3, T].

        Keys and values of the T tokens are written to `kv` at `batch.slot_mapping`. Plain RoPE reads the first row of
        `positions` only.
        """
        config = self.config
        heads, kv_heads, size = config.heads, config.kv_heads, config.head_size
        scale = size**-0.5
        turn = rotation(positions, self.frequencies, self.axes, hidden.dtype)
        if self.native is not None and hidden.shape[0] <= MAX_ROWS:
            return self.native.forward(hidden, turn, kv, batch)
        attend = self.attention.paged
        for layer, cache in zip(self.layers, kv.layers, strict=True):
            normed = rms_norm(hidden, layer.input_norm, config.rms_norm_eps)
            qkv = linear(normed, layer.qkv, layer.qkv_bias).view(-1, heads + 2 * kv_heads, size)
            rotate_(qkv[:, : heads + kv_heads], turn)
            store(cache, qkv[:, heads:], batch.slot_mapping)
            attended = attend(qkv[:, :heads], cache, batch, scale).flatten(1)
            hidden = hidden + linear(attended, layer.output, layer.output_bias)
            normed = rms_norm(hidden, layer.mlp_norm, config.rms_norm_eps)
            gated = silu_gate(linear(normed, layer.gate_up, layer.gate_up_bias))
            hidden = hidden + linear(gated, layer.down, layer.down_bias)
        return rms_norm(hidden, self.final_norm, config.rms_norm_eps)

    def logits(self, rows: Tensor) -> Tensor:
        """Logits float32 [N, vocabulary] of final hidden states [N, hidden]."""
        if self.native is not None and rows.shape[0] <= MAX_ROWS:
            return self.native.linear(rows, self.head)
        return linear(rows, self.head).float()

    def use_native(self) -> None:
        """Let C serve small steps from now on. Raises: NativeUnavailable with the reason why it cannot."""
        config = self.config
        shape = NativeShape(
            config.hidden_size, config.intermediate_size, config.heads, config.kv_heads, config.head_size,
            config.rms_norm_eps,
        )  # fmt: skip
        self.native = NativeDecoder(shape, self.layers, self.final_norm)

    def parameters(self) -> dict[str, Tensor]:
        """Where each tensor of a checkpoint goes: its name without the model's prefix → the part of a weight."""
        slots = {"embed_tokens.weight": self.embedding, "norm.weight": self.final_norm}
        if not self.config.tied_embeddings:
            slots["lm_head.weight"] = self.head
        for index, layer in enumerate(self.layers):
            for name, part in _layer_parameters(self.config, layer).items():
                slots[f"layers.{index}.{name}"] = part
        return slots


def _empty_layer(config: DecoderConfig, dtype: torch.dtype, device: torch.device) -> DecoderLayer:
    def empty(*shape: int) -> Tensor:
        return torch.empty(*shape, dtype=dtype, device=device)

    hidden, mlp = config.hidden_size, config.intermediate_size
    attended = config.heads * config.head_size
    qkv = attended + 2 * config.kv_heads * config.head_size
    return DecoderLayer(
        input_norm=empty(hidden),
        qkv=empty(qkv, hidden),
        qkv_bias=empty(qkv) if config.qkv_bias else None,
        output=empty(hidden, attended),
        output_bias=empty(hidden) if config.output_bias else None,
        mlp_norm=empty(hidden),
        gate_up=empty(2 * mlp, hidden),
        gate_up_bias=empty(2 * mlp) if config.mlp_bias else None,
        down=empty(hidden, mlp),
        down_bias=empty(hidden) if config.mlp_bias else None,
    )


def _layer_parameters(config: DecoderConfig, layer: DecoderLayer) -> dict[str, Tensor]:
    keys = config.kv_heads * config.head_size
    qkv_sizes = (config.heads * config.head_size, keys, keys)
    qkv_names = tuple(f"self_attn.{letter}_proj" for letter in "qkv")
    mlp_sizes = (config.intermediate_size, config.intermediate_size)
    slots = {"input_layernorm.weight": layer.input_norm, "post_attention_layernorm.weight": layer.mlp_norm}
    for names, sizes, weight, bias in (
        (qkv_names, qkv_sizes, layer.qkv, layer.qkv_bias),
        (("self_attn.o_proj",), (config.hidden_size,), layer.output, layer.output_bias),
        (("mlp.gate_proj", "mlp.up_proj"), mlp_sizes, layer.gate_up, layer.gate_up_bias),
        (("mlp.down_proj",), (config.hidden_size,), layer.down, layer.down_bias),
    ):
        for kind, fused in (("weight", weight), ("bias", bias)):
            if fused is not None:
                parts = torch.split(fused, list(sizes))
                slots |= {f"{name}.{kind}": part for name, part in zip(names, parts, strict=True)}
    return slots
