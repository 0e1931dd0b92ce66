"""Writing the keys and values of new tokens into the block cache."""

from __future__ import annotations

import torch
from torch import Tensor

from upright.kernels.compiled import serves
from upright.kernels.rotary import Rotation, rotate_, rotate_reference


def store(cache: Tensor, keys_values: Tensor, slot_mapping: Tensor) -> None:
    """Write row i of `keys_values` to slot `slot_mapping[i]` of one layer's cache.

    cache [blocks, block_size, 2, kv_heads, head_size], contiguous; keys_values [T, 2 * kv_heads, head_size], keys
    first; slot_mapping int64 [T], block * block_size + offset, without duplicates.
    """
    slots = cache.shape[0] * cache.shape[1]
    cache.view(slots, -1, cache.shape[-1]).index_copy_(0, slot_mapping, keys_values)


def store_reference(cache: Tensor, keys_values: Tensor, slot_mapping: Tensor) -> None:
    block_size, _, kv_heads, head_size = cache.shape[1:]
    for row, slot in zip(keys_values, slot_mapping.tolist(), strict=True):
        cache[slot // block_size, slot % block_size] = row.view(2, kv_heads, head_size)


def rotate_and_store(
    qkv: Tensor, bias: Tensor | None, rotation: Rotation, cache: Tensor, slot_mapping: Tensor, heads: int
) -> Tensor:
    """Finish a fused projection and return the queries [T, heads, head_size], a view of `qkv`.

    qkv [T, heads + 2 * kv_heads, head_size], a row contiguous: queries, keys, values. `bias`, of as many values as a
    row, is added to it, queries and keys are turned, and keys and values are written to the cache as `store` does.
    What is left in `qkv` behind the queries is undefined.
    """
    kv_heads = cache.shape[3]
    if serves(qkv):
        from upright.kernels.triton import rotary

        rotary.rotate(
            qkv, rotation.cosine, rotation.sine, heads + kv_heads, bias, cache, slot_mapping, queries=heads
        )  # fmt: skip
        return qkv[:, :heads]
    if bias is not None:
        qkv += bias.view(qkv.shape[1:])
    rotate_(qkv[:, : heads + kv_heads], rotation)
    store(cache, qkv[:, heads:], slot_mapping)
    return qkv[:, :heads]


def rotate_and_store_reference(
    qkv: Tensor, bias: Tensor | None, angles: Tensor, cache: Tensor, slot_mapping: Tensor, heads: int
) -> Tensor:
    """The same by `angles` float32 [T, head_size / 2], in float32 and without changing `qkv`."""
    keyed = heads + cache.shape[3]
    wide = qkv.float() if bias is None else qkv.float() + bias.float().view(qkv.shape[1:])
    turned = torch.cat((rotate_reference(wide[:, :keyed], angles), wide[:, keyed:]), dim=1).to(qkv.dtype)
    store_reference(cache, turned[:, heads:], slot_mapping)
    return turned[:, :heads]
