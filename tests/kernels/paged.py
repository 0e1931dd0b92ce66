"""One layer of a block cache in which every slot that no sequence owns is NaN, and the batch that owns the others."""

from __future__ import annotations

import random

import torch

from upright.kernels.attention.batch import PagedBatch, make_batch


def filled_cache(
    batch_of: list[tuple[int, int]], block_size: int, kv_heads: int, size: int, scattered: bool, seed: int,
    device: str = "cpu",
) -> tuple[torch.Tensor, PagedBatch]:  # fmt: skip
    """`batch_of` holds each sequence's new tokens and its context."""
    needed = [-(-context // block_size) for _, context in batch_of]
    blocks = list(range(sum(needed) + 2))
    if scattered:
        random.Random(seed).shuffle(blocks)
    tables = [[blocks.pop(0) for _ in range(count)] for count in needed]
    layer = torch.full((sum(needed) + 2, block_size, 2, kv_heads, size), float("nan"))
    generator = torch.Generator().manual_seed(seed)
    for table, (_, context) in zip(tables, batch_of, strict=True):
        for position in range(context):
            values = torch.randn(2, kv_heads, size, generator=generator)
            layer[table[position // block_size], position % block_size] = values
    new, contexts = [n for n, _ in batch_of], [c for _, c in batch_of]
    return layer.to(device), make_batch(tables, new, contexts, block_size, device)
