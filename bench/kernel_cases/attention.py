"""Attention of the decoder: decode at several batches and contexts, prefill, and steps of both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import torch
from kernel_timing import Case, relative_error

from upright.kernels.attention import tiles
from upright.kernels.attention.batch import PagedBatch, decode_batch, make_batch
from upright.kernels.attention.candidate import Candidate
from upright.kernels.attention.flash import FLASH
from upright.kernels.attention.portable import PORTABLE
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.sdpa import SDPA
from upright.kernels.triton import paged_prefill

SHAPES = {"MinerU": (14, 2, 64), "7B": (28, 4, 128)}  # query heads, key heads, head size
BLOCK = 16
DTYPE = torch.bfloat16
PREFILLS = {  # new tokens and context of each sequence
    "2x4096": [(4096, 4096)] * 2,
    "1400": [(1400, 1400)],
    "1400 after 2700": [(1400, 4100)],
    "60 decodes + 1400": [(1, 700)] * 60 + [(1400, 1400)],
}
_MOST_COPIES = 32


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    for model in SHAPES:
        for count in (1, 64, 256):
            for context in (384, 4096):
                if context * count <= 2**18 or not quick:
                    yield from _decode(device, model, count, context, quick)
    for model in ("7B", "MinerU"):
        for name, spans in PREFILLS.items():
            yield from _prefill(device, model, name, spans)


def _layer(device: torch.device, model: str, contexts: list[int]) -> tuple[torch.Tensor, list[list[int]]]:
    """One layer's cache with NaN where nobody wrote, and the scattered blocks of each sequence."""
    _, kv_heads, size = SHAPES[model]
    counts = [-(-context // BLOCK) for context in contexts]
    blocks = list(range(sum(counts)))
    random.Random(0).shuffle(blocks)
    layer = torch.randn(len(blocks), BLOCK, 2, kv_heads, size, device=device, dtype=DTYPE)
    tables = []
    for count, context in zip(counts, contexts, strict=True):
        tables.append([blocks.pop() for _ in range(count)])
        if context % BLOCK:
            layer[tables[-1][-1], context % BLOCK :] = float("nan")
    return layer, tables


def _decode(device: torch.device, model: str, count: int, context: int, quick: bool) -> Iterator[Case]:
    heads, kv_heads, size = SHAPES[model]
    token = 2 * kv_heads * size * DTYPE.itemsize
    copies = max(1, min(_MOST_COPIES, 2**28 // (token * count * context)))
    lengths = [context - sequence % 17 for sequence in range(count)]
    layer, tables = _layer(device, model, lengths * copies)
    query = torch.randn(count, heads + 2 * kv_heads, size, device=device, dtype=DTYPE)[:, :heads]
    batches = [
        make_batch(tables[first : first + count], [1] * count, lengths, BLOCK, device)
        for first in range(0, count * copies, count)
    ]
    expected = REFERENCE.paged(query.float(), layer, batches[0], size**-0.5)
    moved = sum(lengths) * token + 2 * query.numel() * DTYPE.itemsize
    flop = 4 * sum(lengths) * heads * size

    # As in a captured graph: the lengths are on the device alone, and the tables are wider than they need be
    wide = max(256, batches[0].block_tables.shape[1])
    captured = [
        decode_batch(
            batch.slot_mapping,
            torch.nn.functional.pad(batch.block_tables, (0, wide - batch.block_tables.shape[1])),
            batch.contexts,
        )
        for batch in batches
    ]
    runs = {"triton": tiles.TRITON, "portable": PORTABLE} | ({} if quick else {"sdpa": SDPA})
    for name, candidate in runs.items():
        of = batches if candidate is SDPA else captured
        yield _case(
            f"decode {model} B={count} context {context}", name, candidate, query, layer, of, expected, moved, flop
        )


def _prefill(device: torch.device, model: str, name: str, spans: list[tuple[int, int]]) -> Iterator[Case]:
    heads, kv_heads, size = SHAPES[model]
    layer, tables = _layer(device, model, [context for _, context in spans])
    batch = make_batch(tables, [new for new, _ in spans], [context for _, context in spans], BLOCK, device)
    rows = sum(new for new, _ in spans)
    query = torch.randn(rows, heads + 2 * kv_heads, size, device=device, dtype=DTYPE)[:, :heads]
    scale = size**-0.5
    expected = REFERENCE.paged(query.float(), layer, batch, scale)
    moved = sum(context for _, context in spans) * 2 * kv_heads * size * 2 + 2 * query.numel() * 2
    pairs = sum(new * (context - new) + new * (new + 1) // 2 for new, context in spans)
    flop = 4 * pairs * heads * size
    for candidate in (FLASH, tiles.TRITON, PORTABLE):
        yield _case(f"prefill {model} {name}", candidate.name, candidate, query, layer, [batch], expected, moved, flop)
    if any(new == 1 for new, _ in spans):
        return  # decodes are another kernel's
    tile_map = paged_prefill.tiles(batch.query_lengths, batch.context_lengths, range(len(spans))).to(device)
    output = torch.empty(query.shape, device=device, dtype=DTYPE)

    def attend() -> torch.Tensor:
        paged_prefill.attend(query, layer, batch.block_tables, tile_map, scale, output)
        return output

    def check() -> float:
        output.fill_(float("nan"))
        return relative_error(attend(), expected)

    yield Case(f"prefill {model} {name}", "before sm90", attend, moved, flop, check)


def _case(
    name: str, label: str, candidate: Candidate, query: torch.Tensor, layer: torch.Tensor, batches: list[PagedBatch],
    expected: torch.Tensor, moved: int, flop: int,
) -> Case:  # fmt: skip
    fresh = [replace(batch, plans={}) for batch in batches]
    turns = cycle(fresh)
    scale = query.shape[2] ** -0.5

    def check() -> float:
        for batch in fresh:  # plans are made here, before anything is captured
            candidate.paged(query, layer, batch, scale)
        return relative_error(candidate.paged(query, layer, fresh[0], scale), expected)

    return Case(name, label, lambda: candidate.paged(query, layer, next(turns), scale), moved, flop, check)
