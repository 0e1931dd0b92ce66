"""Attention by our own kernels, written in Triton. Matrix instructions need sm80; see `portable` for older cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from upright.kernels.attention.batch import PagedBatch
from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.mixed import Mixed, decode_rows
from upright.kernels.attention.runs import Runs
from upright.kernels.compiled import has_triton
from upright.kernels.hopper import hopper_kernels
from upright.kernels.rotary import Rotation
from upright.kernels.transfer import sent

if TYPE_CHECKING:
    from upright.kernels.triton.paged_decode import Turn


def triton_declined(need: AttentionNeed) -> str | None:
    """Why no kernel written in Triton can serve; None when one might."""
    if not has_triton():
        return "Triton is not installed"
    if need.head_size > 256:
        return f"wants heads of at most 256, not {need.head_size}"
    return None


def _declines(need: AttentionNeed) -> str | None:
    return need.modern_declined() or triton_declined(need) or need.half_declined()


def decode(
    query: Tensor, layer: Tensor, batch: PagedBatch, scale: float, matrix: bool = True, turn: Turn | None = None
) -> Tensor:
    """Attention of a batch in which every sequence brings one token. Reads lengths on the device alone.

    With `turn`, query [T, heads, d] is the beginning of rows that `paged_decode.attend` turns first.
    """
    from upright.kernels.triton import paged_decode

    sequences, heads, size = query.shape
    longest = batch.block_tables.shape[1] * layer.shape[1]
    work = batch.plan(
        "triton decode",
        lambda batch: paged_decode.workspace(sequences, heads, layer.shape[3], size, longest, query.device),
    )
    output = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    paged_decode.attend(
        query, layer, batch.block_tables, batch.contexts, scale, work, output, matrix=matrix, turn=turn
    )  # fmt: skip
    return output


def turned(
    qkv: Tensor, bias: Tensor | None, rotation: Rotation, layer: Tensor, batch: PagedBatch, scale: float,
    matrix: bool = True,
) -> Tensor:  # fmt: skip
    from upright.kernels.triton.paged_decode import Turn

    heads = qkv.shape[1] - 2 * layer.shape[3]
    turn = Turn(bias, rotation.cosine, rotation.sine, batch.slot_mapping)
    return decode(qkv[:, :heads], layer, batch, scale, matrix, turn)


def paged(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float) -> Tensor:
    if batch.decode_only:
        return decode(query, layer, batch, scale)
    # Rows of nobody go through the rest of the model too, and a NaN there would look like an overflow
    allocate = torch.zeros if batch.padded else torch.empty
    output = allocate(query.shape, dtype=query.dtype, device=query.device)
    prefill_rest(query, layer, batch, scale, batch.plan("mixed", Mixed.of), output)
    return output


def prefill_rest(query: Tensor, layer: Tensor, batch: PagedBatch, scale: float, mixed: Mixed, output: Tensor) -> None:
    """Write what the sequences that `mixed` knows attend to into their rows of `output`."""
    from upright.kernels.triton import paged_prefill

    if mixed.decode_rows.shape[0]:
        decode_rows(query, layer, batch, scale, mixed, output)

    def make_tiles(batch: PagedBatch) -> Tensor:
        host = paged_prefill.tiles(batch.query_lengths, batch.context_lengths, mixed.prefills)
        return sent(host, query.device)

    tiles = batch.plan("triton tiles", make_tiles)
    overlapped = hopper_kernels("overlapped_prefill", query.device)
    kernel = overlapped if overlapped is not None and overlapped.serves(layer) else paged_prefill
    kernel.attend(query, layer, batch.block_tables, tiles, scale, output)


def prompt_batch(
    slot_mapping: Tensor, block_tables: Tensor, contexts: Tensor, decode_rows: Tensor, decode_sequences: Tensor,
    tile_map: Tensor, splits_for: int, heads: int, kv_heads: int, head_size: int, block_size: int,
) -> PagedBatch:  # fmt: skip
    """A step with prompts of which only the device knows the sequences, as in a CUDA graph. TRITON alone serves it.

    slot_mapping int64 [T], negative for rows of nobody, which are not stored and get zeros; block_tables int32 [S, most
    blocks] and contexts int32 [S], where neither the order of sequences nor those without a part in the step matter;
    decode_rows int32 [D] and decode_sequences int32 [D], of the sequences that bring one token: padding names a row of
    nobody and a sequence of context 0; tile_map int32 [tiles, 5] as `paged_prefill.tiles` makes it, padded with zeros.
    Contexts of decodes are cut as for `splits_for` sequences, as long as the block tables allow.
    """
    from upright.kernels.triton import paged_decode

    plans: dict[str, Any] = {
        "mixed": Mixed((), (), decode_rows, decode_sequences, slice(0)),
        "triton tiles": tile_map,
    }
    count = decode_rows.shape[0]
    if count:
        longest = block_tables.shape[1] * block_size
        plans["mixed decodes"] = paged_decode.workspace(
            count, heads, kv_heads, head_size, longest, slot_mapping.device, splits_for
        )
    return PagedBatch(slot_mapping, block_tables, (), (), contexts, decode_only=False, padded=True, plans=plans)


def packed(query: Tensor, key: Tensor, value: Tensor, runs: Runs, scale: float) -> Tensor:
    from upright.kernels.triton import packed_attention

    return packed_attention.attend(query, key, value, runs, scale)


TRITON = Candidate("triton", _declines, paged, packed, capturable=True, turned=turned)
