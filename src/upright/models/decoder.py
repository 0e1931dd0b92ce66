"""The text decoder of Qwen2, Qwen2-VL, Qwen2.5-VL and Llama: one set of weights and one forward pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from upright.kernels.attention.batch import KVCache, PagedBatch
from upright.kernels.attention.candidate import Candidate
from upright.kernels.attention.last_rows import LastRows
from upright.kernels.compiled import serves
from upright.kernels.fused_linear import add_linear, few_rows_linear, most_rows, norm_gate, norm_qkv
from upright.kernels.kv_store import rotate_and_store
from upright.kernels.linear import Linear, gated_linear, linear
from upright.kernels.native.decoder import MAX_ROWS, NativeDecoder, NativeShape
from upright.kernels.normalise import add_rms_norm, rms_norm
from upright.kernels.rotary import Rotation, rotation_of_positions
from upright.models.model_config import DecoderConfig
from upright.models.rope import inverse_frequencies, section_axes

_SHRINK = 2.0**-8  # float16 then holds contributions of up to 16 million; those of Qwen2 reach some 100,000


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
    """Weights and forward pass. The dispatch chose `decode` for steps of one token a sequence, `prefill` for others."""

    def __init__(
        self, config: DecoderConfig, dtype: torch.dtype, device: torch.device, decode: Candidate, prefill: Candidate
    ) -> None:
        """Allocates weights without values; `parameters` says where each tensor of a checkpoint goes."""
        self.config = config
        self.dtype = dtype
        self.decode_attention = decode
        self.prefill_attention = prefill
        self.linear: Linear = linear  # loading may put one in its place that was measured to be faster
        self.embedding = torch.empty(config.vocab_size, config.hidden_size, dtype=dtype, device=device)
        self.head = self.embedding if config.tied_embeddings else torch.empty_like(self.embedding)
        self.final_norm = torch.empty(config.hidden_size, dtype=dtype, device=device)
        self.layers = tuple(_empty_layer(config, dtype, device) for _ in range(config.layers))
        self._shrink = [1.0] * config.layers  # by which a layer's last products are multiplied
        # int32 [layers + 1, 1], float16 only: 1 for each layer after which a value was infinite or NaN; the last row is
        # for who puts embeddings of his own in the place of some of `embed`'s
        self.overflow_flags: Tensor | None = None
        if dtype == torch.float16:
            self.overflow_flags = torch.zeros(config.layers + 1, 1, dtype=torch.int32, device=device)
        # Of a step that takes the products fused for few rows, where compiled kernels serve
        self.few_rows = most_rows(config.hidden_size)
        self.native: NativeDecoder | None = None
        self.frequencies = inverse_frequencies(config.rope, config.head_size).to(device)
        sections = config.rope.sections
        self.axes = None if sections is None else section_axes(sections).to(device)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings [T, hidden] of token ids int64 [T]."""
        return functional.embedding(ids, self.embedding)

    def forward(
        self, hidden: Tensor, positions: Tensor, kv: KVCache, batch: PagedBatch, wanted: LastRows | None = None
    ) -> Tensor:
        """Final hidden states [T, hidden], normalised, of embeddings [T, hidden], which are overwritten.

        With `wanted`, those of its N rows alone, [N, hidden]: of a long prompt the last layer then has next to nothing
        to do but to store keys and values.

        `positions` int [3, T], or [T] where they are the same on all axes; plain RoPE reads the first row only. Keys
        and values of the T tokens are written to `kv` at `batch.slot_mapping`. On a GPU nothing waits for the host and
        nothing depends on its values, so that a step of `batch.decode_only` can be captured in a CUDA graph.
        """
        turn = rotation_of_positions(positions, self.frequencies, self.axes, self.dtype)
        if self.native is not None and hidden.shape[0] <= MAX_ROWS:
            return _of_rows(self.native.forward(hidden, turn, kv, batch), wanted)
        # float16 holds a layer's contribution, but not always the sum of all of them
        residual = hidden.float() if hidden.dtype == torch.float16 else hidden
        if serves(hidden) and hidden.shape[0] <= self.few_rows:
            return _of_rows(self._few_rows(residual, turn, kv, batch), wanted)
        return self._rows(residual, turn, kv, batch, wanted)

    def _rows(
        self, residual: Tensor, turn: Rotation, kv: KVCache, batch: PagedBatch, wanted: LastRows | None
    ) -> Tensor:
        """A layer is four products, and between them what can be done at once: seven launches in a step of decodes."""
        config = self.config
        attend = (self.decode_attention if batch.decode_only else self.prefill_attention).paged
        turned = self.decode_attention.turned if batch.decode_only and wanted is None else None
        scale = config.head_size**-0.5
        normed = rms_norm(residual, self.layers[0].input_norm, config.rms_norm_eps)
        for index, (layer, cache) in enumerate(zip(self.layers, kv.layers, strict=True)):
            shrink, overflow = self._shrink[index], self._flag(index)
            qkv = self.linear(normed, layer.qkv).view(-1, config.heads + 2 * config.kv_heads, config.head_size)
            if turned is not None:
                attended = turned(qkv, layer.qkv_bias, turn, cache, batch, scale).flatten(1)
            else:
                query = rotate_and_store(qkv, layer.qkv_bias, turn, cache, batch.slot_mapping, config.heads)
                if wanted is not None and layer is self.layers[-1]:
                    query, residual = _of_rows(query, wanted), _of_rows(residual, wanted)
                    batch, attend = wanted.batch, self.decode_attention.paged
                    if residual.shape[0] == 0:
                        return residual.to(self.dtype)
                attended = attend(query, cache, batch, scale).flatten(1)
            if shrink != 1.0:
                attended = attended * shrink
            delta = _scaled_linear(self.linear, attended, layer.output, layer.output_bias, shrink)
            normed = add_rms_norm(residual, delta, layer.mlp_norm, config.rms_norm_eps, 1 / shrink, overflow)
            gated = gated_linear(self.linear, normed, layer.gate_up, layer.gate_up_bias, shrink)
            delta = _scaled_linear(self.linear, gated, layer.down, layer.down_bias, shrink)
            following = self.layers[index + 1].input_norm if index + 1 < len(self.layers) else self.final_norm
            normed = add_rms_norm(residual, delta, following, config.rms_norm_eps, 1 / shrink, overflow)
        return normed

    def _few_rows(self, residual: Tensor, turn: Rotation, kv: KVCache, batch: PagedBatch) -> Tensor:
        """Four launches a layer besides attention's: with few rows every launch counts as much as what it does."""
        config = self.config
        attend = (self.decode_attention if batch.decode_only else self.prefill_attention).paged
        epsilon, scale = config.rms_norm_eps, config.head_size**-0.5
        for index, (layer, cache) in enumerate(zip(self.layers, kv.layers, strict=True)):
            shrink, overflow = self._shrink[index], self._flag(index)
            query = norm_qkv(
                residual, layer.input_norm, layer.qkv, layer.qkv_bias, epsilon, turn, cache, batch.slot_mapping,
                config.heads,
            )  # fmt: skip
            attended = attend(query, cache, batch, scale).flatten(1)
            add_linear(residual, attended, layer.output, layer.output_bias, 1.0, overflow)
            gated = norm_gate(residual, layer.mlp_norm, layer.gate_up, layer.gate_up_bias, epsilon, shrink)
            add_linear(residual, gated, layer.down, layer.down_bias, 1 / shrink, overflow)
        return rms_norm(residual, self.final_norm, epsilon)

    def _flag(self, layer: int) -> Tensor | None:
        return None if self.overflow_flags is None else self.overflow_flags[layer]

    def logits(self, rows: Tensor) -> Tensor:
        """Logits [N, vocabulary] of final hidden states [N, hidden]: float32, where compiled kernels serve the model's
        dtype. The sampler's kernels take any, and a copy would cost as much as a fifth of the product."""
        if self.native is not None and rows.shape[0] <= MAX_ROWS:
            return self.native.linear(rows, self.head)
        if not serves(rows):
            return self.linear(rows, self.head).float()
        return few_rows_linear(rows, self.head) if rows.shape[0] <= self.few_rows else self.linear(rows, self.head)

    def overflowed(self) -> list[int]:
        """Layers after which float16 had an infinite value or NaN since the last call; waits for the device.

        Those behind the first may only have inherited it. Always empty for other dtypes.
        """
        if self.overflow_flags is None:
            return []
        layers = [layer for layer, flag in enumerate(self.overflow_flags[:-1].flatten().tolist()) if flag]
        if layers:
            self.overflow_flags[:-1].zero_()
        return layers

    def widen(self, layers: Iterable[int]) -> None:
        """Give what these layers add to the residual a wider range, from the next step (or captured graph) on.

        Their last products are taken at 1/256 of their size and enlarged where they are added, in float32. Powers of
        two cost no precision but that of values under 2⁻⁶, which keep an absolute one of 2⁻¹⁶.
        """
        for layer in layers:
            self._shrink[layer] = _SHRINK

    @property
    def wide_layers(self) -> list[int]:
        """Those that `widen` was called for."""
        return [layer for layer, shrink in enumerate(self._shrink) if shrink != 1.0]

    def use_native(self) -> None:
        """Let C serve small steps from now on. Raises: NativeUnavailable with the reason why it cannot."""
        config = self.config
        shape = NativeShape(
            config.hidden_size, config.intermediate_size, config.heads, config.kv_heads, config.head_size,
            config.rms_norm_eps,
        )  # fmt: skip
        self.native = NativeDecoder(shape, self.layers, self.final_norm)

    def matrices(self) -> list[Tensor]:
        """The weights of all products, each [out, in], but for those that `gates` has."""
        return [self.head, *(w for layer in self.layers for w in (layer.qkv, layer.output, layer.down))]

    def gates(self) -> list[Tensor]:
        """The weights of products that are gated, each [2 * size, in]."""
        return [layer.gate_up for layer in self.layers]

    def parameters(self) -> dict[str, Tensor]:
        """Where each tensor of a checkpoint goes: its name without the model's prefix → the part of a weight."""
        slots = {"embed_tokens.weight": self.embedding, "norm.weight": self.final_norm}
        if not self.config.tied_embeddings:
            slots["lm_head.weight"] = self.head
        for index, layer in enumerate(self.layers):
            for name, part in _layer_parameters(self.config, layer).items():
                slots[f"layers.{index}.{name}"] = part
        return slots


def _of_rows(rows: Tensor, wanted: LastRows | None) -> Tensor:
    return rows if wanted is None else rows.index_select(0, wanted.rows)


def _scaled_linear(multiply: Linear, x: Tensor, weight: Tensor, bias: Tensor | None, factor: float) -> Tensor:
    """The product of `x`, which is `factor` times too small, with a bias just as small."""
    return multiply(x, weight, bias * factor if bias is not None and factor != 1.0 else bias)


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
