"""Writing the keys and values of new tokens into the block cache."""

from __future__ import annotations

from torch import Tensor


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
