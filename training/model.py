"""The reader as it is trained: Qwen2-VL on packed sequences, with the names that its checkpoint has.

Pictures of any sizes and conversations of any lengths lie one after the other without padding. `tests/training` sees to
it that a checkpoint gives the same numbers in transformers.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.batches import Arrays
from training.encode import NOTHING
from training.shape import Shape

_VISION_THETA = 10000.0


@dataclass(frozen=True)
class Batch:
    """Everything on one device."""

    patches: Tensor  # uint8 [P, 3 * patch * patch]: channels first, in the order of merged tokens
    places: Tensor  # int32 [2, P]: row and column of each
    picture_starts: Tensor  # int32 [pictures + 1]
    longest_picture: int
    ids: Tensor  # int64 [T]
    positions: Tensor  # int32 [3, T]
    text_starts: Tensor  # int32 [conversations + 1]
    longest_text: int
    slots: Tensor  # int64 [P / merge²]: where in T the pictures' tokens are
    learnt: Tensor  # int64 [N]: where in T the token that follows is learnt
    targets: Tensor  # int64 [N]: that token, or NOTHING
    tasks: Tensor  # int64 [N]: of its conversation


TENSORS = tuple(field.name for field in fields(Batch) if field.type == "Tensor")


def to_device(arrays: Arrays, device: torch.device) -> Batch:
    """Copied, so that the arrays may change."""

    def tensor(name: str) -> Tensor | int:
        array = arrays[name]
        return int(array) if array.ndim == 0 else torch.from_numpy(array).to(device, copy=True)

    return Batch(**{field.name: tensor(field.name) for field in fields(Batch)})  # type: ignore[arg-type]


class VisionAttention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.vision_heads
        self.qkv = nn.Linear(shape.vision_hidden, 3 * shape.vision_hidden)
        self.proj = nn.Linear(shape.vision_hidden, shape.vision_hidden)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], starts: Tensor, longest: int) -> Tensor:
        query, key, value = self.qkv(x).view(len(x), 3 * self.heads, -1).chunk(3, dim=1)
        attended = attend(turned(query, turn), turned(key, turn), value, starts, longest, causal=False)
        return torch.as_tensor(self.proj(attended.flatten(1)))


class VisionFeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.vision_hidden, shape.vision_ratio * shape.vision_hidden)
        self.fc2 = nn.Linear(shape.vision_ratio * shape.vision_hidden, shape.vision_hidden)

    def forward(self, x: Tensor) -> Tensor:
        up = self.fc1(x)
        return torch.as_tensor(self.fc2(up * torch.sigmoid(1.702 * up)))


class VisionBlock(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.vision_hidden, eps=1e-6)
        self.attn = VisionAttention(shape)
        self.norm2 = nn.LayerNorm(shape.vision_hidden, eps=1e-6)
        self.mlp = VisionFeedForward(shape)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], starts: Tensor, longest: int) -> Tensor:
        x = x + self.attn(self.norm1(x), turn, starts, longest)
        return torch.as_tensor(x + self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    """A still picture is the same at both times, so the two halves of the weight add up."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, shape.vision_hidden, (2, shape.patch, shape.patch), bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight.sum(dim=2).flatten(1)
        return functional.linear(patches.to(weight.dtype) / 127.5 - 1.0, weight)


class Merger(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.merged = shape.vision_hidden * shape.merge**2
        self.ln_q = nn.LayerNorm(shape.vision_hidden, eps=1e-6)
        parts = (nn.Linear(self.merged, self.merged), nn.GELU(), nn.Linear(self.merged, shape.hidden))
        self.mlp = nn.Sequential(OrderedDict((str(index), part) for index, part in enumerate(parts)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.mlp(self.ln_q(x).view(-1, self.merged)))


class Tower(nn.Module):
    frequencies: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(shape)
        self.blocks = nn.ModuleList(VisionBlock(shape) for _ in range(shape.vision_layers))
        self.merger = Merger(shape)
        quarter = shape.vision_hidden // shape.vision_heads // 4
        frequencies = _VISION_THETA ** -(torch.arange(quarter, dtype=torch.float32) / quarter)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        x = self.patch_embed(batch.patches)
        angles = (batch.places.float().unsqueeze(2) * self.frequencies).permute(1, 0, 2).flatten(1)
        turn = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)
        for block in self.blocks:
            x = block(x, turn, batch.picture_starts, batch.longest_picture)
        return torch.as_tensor(self.merger(x))


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head, self.group = shape.head, shape.heads // shape.kv_heads
        self.q_proj = nn.Linear(shape.hidden, shape.heads * shape.head)
        self.k_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head)
        self.v_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head)
        self.o_proj = nn.Linear(shape.heads * shape.head, shape.hidden, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], starts: Tensor, longest: int) -> Tensor:
        query, key, value = (p(x).view(len(x), -1, self.head) for p in (self.q_proj, self.k_proj, self.v_proj))
        key, value = (part.repeat_interleave(self.group, dim=1) for part in (turned(key, turn), value))
        attended = attend(turned(query, turn), key, value, starts, longest, causal=True)
        return torch.as_tensor(self.o_proj(attended.flatten(1)))


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x)))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden, eps=1e-6)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=1e-6)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], starts: Tensor, longest: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn, starts, longest)
        return torch.as_tensor(x + self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    frequencies: Tensor
    axes: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden, eps=1e-6)
        pairs = torch.arange(shape.head // 2, dtype=torch.float32)
        self.register_buffer("frequencies", shape.theta ** -(2 * pairs / shape.head), persistent=False)
        axes = torch.arange(3).repeat_interleave(torch.tensor(shape.sections))
        self.register_buffer("axes", axes, persistent=False)

    def forward(self, batch: Batch, features: Tensor) -> Tensor:
        x = self.embed_tokens(batch.ids)
        x = x.index_copy(0, batch.slots, features.to(x.dtype))
        angles = batch.positions.float()[self.axes].T * self.frequencies
        turn = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)
        for layer in self.layers:
            x = layer(x, turn, batch.text_starts, batch.longest_text)
        return torch.as_tensor(self.norm(x))


class Reader(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.visual = Tower(shape)
        self.model = Decoder(shape)
        for name, part in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(part)
            elif "embed_tokens" in name:
                nn.init.normal_(part, std=0.02)
            elif part.dim() > 1:
                # What a layer gives is as large as what it takes: with less, a picture's part in what is said drowns in
                # what is said of all pictures, which is learnt first. What is added to a residual begins smaller, the
                # deeper it is.
                deep = name.endswith(("attn.proj.weight", "fc2.weight", "o_proj.weight", "down_proj.weight"))
                depth = shape.vision_layers if name.startswith("visual") else shape.layers
                nn.init.normal_(part, std=(part[0].numel() * (2 * depth if deep else 1)) ** -0.5)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [T, vocabulary] in the weights' type."""
        return functional.linear(self.hidden(batch), self.model.embed_tokens.weight)

    def hidden(self, batch: Batch) -> Tensor:
        weight = self.model.embed_tokens.weight
        features = self.visual(batch) if len(batch.patches) else weight.new_zeros(0, weight.shape[1])
        return torch.as_tensor(self.model(batch, features))

    def losses(self, batch: Batch) -> Tensor:
        """Of each token that is learnt, float32 [N]; nothing where its target is NOTHING."""
        hidden = self.hidden(batch).index_select(0, batch.learnt)
        logits = functional.linear(hidden, self.model.embed_tokens.weight).float()
        return functional.cross_entropy(logits, batch.targets, ignore_index=NOTHING, reduction="none")


def turned(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """heads [T, n, d] by cosines and sines [T, 1, d / 2]; value i pairs with i + d / 2."""
    first, second = heads.float().chunk(2, dim=2)
    cosine, sine = turn
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=2).to(heads.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, longest: int, causal: bool) -> Tensor:
    """[T, n, d] of runs that begin at `starts`, each for itself."""
    if query.is_cuda:
        half = [part.to(torch.bfloat16).contiguous() for part in (query, key, value)]
        answer: Tensor = torch.ops.aten._flash_attention_forward(
            *half, starts, starts, longest, longest, 0.0, causal, False
        )[0]
        return answer.to(query.dtype)
    lengths = starts.diff().tolist()
    runs = zip(*(torch.split(part.transpose(0, 1), lengths, dim=1) for part in (query, key, value)), strict=True)
    parts = [functional.scaled_dot_product_attention(q, k, v, is_causal=causal) for q, k, v in runs]
    return torch.cat(parts, dim=1).transpose(0, 1)
