"""Every attention candidate against the reference, and the dispatch between them."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.kernels.attention.batch import KVCache, PagedBatch, make_batch
from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.dispatch import CANDIDATES, NoAttention, choose
from upright.kernels.attention.reference import REFERENCE

NEED = AttentionNeed("cpu", None, torch.float32, 64, "paged")
OTHERS = [candidate for candidate in CANDIDATES if candidate is not REFERENCE]

sequences = st.lists(
    st.integers(1, 40).flatmap(lambda context: st.tuples(st.integers(1, context), st.just(context))),
    min_size=1,
    max_size=6,
)


def filled_cache(
    batch_of: list[tuple[int, int]], block_size: int, kv_heads: int, size: int, scattered: bool, seed: int
) -> tuple[torch.Tensor, PagedBatch]:
    """One layer of random keys and values in which every slot that no sequence owns is NaN, and its batch."""
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
    return layer, make_batch(tables, new, contexts, block_size)


def dense_answer(query: torch.Tensor, layer: torch.Tensor, batch: PagedBatch, scale: float) -> torch.Tensor:
    """Softmax attention in float64, one query row at a time."""
    group = query.shape[1] // layer.shape[3]
    rows = []
    row = 0
    tokens = layer.double().flatten(0, 1)
    size = layer.shape[1]
    for s, (new, context) in enumerate(zip(batch.query_lengths, batch.context_lengths, strict=True)):
        table = batch.block_tables[s].tolist()
        for i in range(new):
            slots = [table[p // size] * size + p % size for p in range(context - new + i + 1)]
            keys, values = tokens[slots].repeat_interleave(group, dim=2).unbind(1)
            weights = (torch.einsum("hd,lhd->hl", query[row].double(), keys) * scale).softmax(-1)
            rows.append(torch.einsum("hl,lhd->hd", weights, values))
            row += 1
    return torch.stack(rows).to(query.dtype)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
@given(
    batch_of=sequences,
    heads=st.sampled_from([(4, 4), (6, 2), (3, 1)]),
    size=st.sampled_from([8, 64, 80]),
    block_size=st.sampled_from([1, 5, 16]),
    scattered=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_paged_equals_the_definition(candidate, batch_of, heads, size, block_size, scattered, seed):
    layer, batch = filled_cache(batch_of, block_size, heads[1], size, scattered, seed)
    query = torch.randn(sum(new for new, _ in batch_of), heads[0], size)
    expected = dense_answer(query, layer, batch, size**-0.5)
    for _ in range(2):  # a second layer reuses what the first one planned
        answer = candidate.paged(query, layer, batch, size**-0.5)
        torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8), size=st.sampled_from([8, 80]))
@settings(max_examples=40, deadline=None)
def test_packed_keeps_runs_apart(candidate, lengths, size):
    # a stride between tokens, as a slice of a fused projection has
    fused = torch.randn(sum(lengths), 9, size)
    query, key, value = fused.chunk(3, dim=1)
    answer = candidate.packed(query, key, value, tuple(lengths), 0.3)
    parts = []
    for q, k, v in zip(*(x.double().split(lengths) for x in (query, key, value)), strict=True):
        weights = (torch.einsum("thd,lhd->htl", q, k) * 0.3).softmax(-1)
        parts.append(torch.einsum("htl,lhd->thd", weights, v).float())
    torch.testing.assert_close(answer, torch.cat(parts), atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("candidate", OTHERS, ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("batch_of", [[(1, 30), (1, 7), (1, 300)], [(1, 9), (20, 20), (5, 70), (1, 4)]])
def test_paged_on_a_gpu_equals_the_reference(candidate, dtype, batch_of):
    layer, batch = filled_cache(batch_of, 16, 2, 64, True, 0)
    query = torch.randn(sum(new for new, _ in batch_of), 6, 64)
    expected = REFERENCE.paged(query, layer, batch, 0.125)
    tables = [row[: -(-c // 16)].tolist() for row, (_, c) in zip(batch.block_tables, batch_of, strict=True)]
    there = make_batch(tables, [n for n, _ in batch_of], [c for _, c in batch_of], 16, "cuda")
    answer = candidate.paged(query.to("cuda", dtype), layer.to("cuda", dtype), there, 0.125)
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(answer.cpu().float(), expected, atol=tolerance, rtol=tolerance)


def test_the_first_that_can_serve_is_chosen():
    choice = choose(NEED)
    assert choice.candidate.name == "sdpa"
    assert choice.declined == {}


def test_those_before_it_say_why_not():
    choice = choose(AttentionNeed("mps", None, torch.float32, 64, "packed"))
    assert choice.candidate is REFERENCE
    assert choice.declined == {"sdpa": "not tried on mps"}
    forced = choose(NEED, forced="reference")
    assert forced.candidate is REFERENCE
    assert forced.declined == {"sdpa": "reference is forced"}


def test_when_none_can_every_one_is_named_with_its_reason():
    picky = tuple(
        Candidate(name, lambda need, name=name: f"{name} wants more", REFERENCE.paged, REFERENCE.packed)
        for name in ("first", "second")
    )
    with pytest.raises(NoAttention, match=r"first: first wants more; second: second wants more"):
        choose(NEED, candidates=picky)
    with pytest.raises(NoAttention, match=r"no attention candidate 'flash'; there are: first, second"):
        choose(NEED, forced="flash", candidates=picky)


def test_a_forced_one_that_declines_is_not_replaced():
    need = AttentionNeed("mps", None, torch.float32, 64, "paged")
    with pytest.raises(NoAttention, match="sdpa: not tried on mps; reference: sdpa is forced"):
        choose(need, forced="sdpa")


def test_a_batch_knows_whether_it_only_decodes():
    assert make_batch([[0], [1]], [1, 1], [3, 4], 4).decode_only
    assert not make_batch([[0], [1]], [1, 2], [3, 4], 4).decode_only


def test_a_cache_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="kv_heads"):
        KVCache(torch.zeros(2, 3, 4, 5, 6))
