"""Every attention candidate against the reference, and the dispatch between them."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.paged import filled_cache
from upright.kernels.attention.batch import KVCache, PagedBatch, decode_batch, make_batch
from upright.kernels.attention.candidate import AttentionNeed, Candidate, Layout
from upright.kernels.attention.dispatch import NoAttention, Race, choose
from upright.kernels.attention.flash import FLASH
from upright.kernels.attention.portable import PORTABLE
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.runs import Runs
from upright.kernels.attention.sdpa import SDPA
from upright.kernels.attention.tiles import TRITON

NEED = AttentionNeed("cpu", None, torch.float32, 64, "decode")
ON_CPU = (SDPA, REFERENCE)

sequences = st.lists(
    st.integers(1, 40).flatmap(lambda context: st.tuples(st.integers(1, context), st.just(context))),
    min_size=1,
    max_size=6,
)


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


@pytest.mark.parametrize("candidate", ON_CPU, ids=lambda c: c.name)
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


@pytest.mark.parametrize("candidate", ON_CPU, ids=lambda c: c.name)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8), size=st.sampled_from([8, 80]))
@settings(max_examples=40, deadline=None)
def test_packed_keeps_runs_apart(candidate, lengths, size):
    # a stride between tokens, as a slice of a fused projection has
    fused = torch.randn(sum(lengths), 9, size)
    query, key, value = fused.chunk(3, dim=1)
    answer = candidate.packed(query, key, value, Runs(tuple(lengths)), 0.3)
    parts = []
    for q, k, v in zip(*(x.double().split(lengths) for x in (query, key, value)), strict=True):
        weights = (torch.einsum("thd,lhd->htl", q, k) * 0.3).softmax(-1)
        parts.append(torch.einsum("htl,lhd->thd", weights, v).float())
    torch.testing.assert_close(answer, torch.cat(parts), atol=1e-5, rtol=1e-5)


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


def cuda(layout: Layout, capability: tuple[int, int] = (9, 0), **others: Any) -> AttentionNeed:
    return dataclasses.replace(AttentionNeed("cuda", capability, torch.bfloat16, 64, layout), **others)


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_an_h100_gets_what_is_made_for_it():
    assert choose(cuda("decode")).candidate is TRITON
    assert choose(cuda("prefill")).candidate is FLASH
    assert choose(cuda("decode", dtype=torch.float32)).candidate is PORTABLE
    assert choose(cuda("packed"), forced="triton").candidate is TRITON


@pytest.mark.parametrize("layout", ["decode", "prefill", "packed"])
def test_portable_declines_what_an_old_card_does(layout):
    old = choose(cuda(layout, (7, 5), dtype=torch.float16))
    portable = choose(cuda(layout, dtype=torch.float16, portable=True))
    assert portable.candidate is old.candidate
    assert portable.declined.keys() == old.declined.keys()
    assert old.candidate is PORTABLE or (layout == "decode" and find_spec("triton") is None)
    assert all("sm80" in reason for reason in old.declined.values() if "Triton" not in reason)


def test_a_forced_one_forces_only_the_layouts_it_has():
    assert choose(cuda("packed"), forced="flash").candidate is FLASH
    assert choose(cuda("decode"), forced="flash").candidate is choose(cuda("decode")).candidate
    with pytest.raises(NoAttention, match="--attention triton cannot serve decode steps here: needs CUDA, not cpu"):
        choose(NEED, forced="triton")


def test_the_fastest_is_taken_where_there_is_a_clock():
    names = ("slow", "fast", "middle")
    racing = tuple(Candidate(name, lambda need: None, REFERENCE.paged, REFERENCE.packed) for name in names)
    times = {"slow": 3.0, "fast": 1.0, "middle": 2.0}
    choice = choose(NEED, candidates=(*racing, REFERENCE), clock=lambda candidate: times[candidate.name])
    assert choice.candidate.name == "fast"
    assert choice.race == Race(times, {})
    assert choice.declined == {"slow": "took 3.00 ms, fast 1.00", "middle": "took 2.00 ms, fast 1.00"}


def test_a_race_is_not_held_again_among_the_same() -> None:
    def declines(need: AttentionNeed) -> str | None:
        return "gone" if "slow" in away else None

    def clock(candidate: Candidate) -> float:
        timed.append(candidate.name)
        return 1.0 if candidate.name == "middle" else 2.0

    away: set[str] = set()
    timed: list[str] = []
    slow = Candidate("slow", declines, REFERENCE.paged, REFERENCE.packed)
    others = [
        Candidate(name, lambda need: None, REFERENCE.paged, REFERENCE.packed) for name in ("fast", "middle", "bad")
    ]
    earlier = Race({"slow": 3.0, "fast": 1.0, "middle": 2.0}, {"bad": "no kernel"})
    entered = (slow, *others, REFERENCE)
    choice = choose(NEED, candidates=entered, clock=clock, earlier=earlier)
    assert (choice.candidate.name, choice.race, timed) == ("fast", earlier, [])
    assert choice.declined == {
        "slow": "took 3.00 ms at an earlier start, fast 1.00",
        "middle": "took 2.00 ms at an earlier start, fast 1.00",
        "bad": "failed when it was measured at an earlier start: no kernel",
    }
    away.add("slow")
    choice = choose(NEED, candidates=entered, clock=clock, earlier=earlier)
    assert choice.candidate.name == "middle" and timed == ["fast", "middle", "bad"]
    assert choice.race == Race({"fast": 2.0, "middle": 1.0, "bad": 2.0}, {})
    assert choose(NEED, candidates=entered, earlier=earlier).race is None, "without a clock the order counts"


def test_one_that_fails_is_not_taken():
    def clock(candidate: Candidate) -> float:
        if candidate.name == "broken":
            raise RuntimeError("no kernel\nfor this")
        return 1.0

    racing = tuple(
        Candidate(name, lambda need: None, REFERENCE.paged, REFERENCE.packed) for name in ("broken", "sound")
    )
    choice = choose(NEED, candidates=(*racing, REFERENCE), clock=clock)
    assert choice.candidate.name == "sound"
    assert choice.declined == {"broken": "failed when it was measured: no kernel"}
    assert choose(NEED, candidates=(racing[0], racing[0], REFERENCE), clock=clock).candidate is REFERENCE


def test_when_none_can_every_one_is_named_with_its_reason():
    picky = tuple(
        Candidate(name, lambda need, name=name: f"{name} wants more", REFERENCE.paged, REFERENCE.packed)
        for name in ("first", "second")
    )
    with pytest.raises(NoAttention, match=r"first: first wants more; second: second wants more"):
        choose(NEED, candidates=picky)
    with pytest.raises(NoAttention, match=r"no attention candidate 'other'; there are: first, second"):
        choose(NEED, forced="other", candidates=picky)


def test_a_forced_one_that_declines_is_not_replaced():
    need = AttentionNeed("mps", None, torch.float32, 64, "packed")
    with pytest.raises(NoAttention, match="--attention sdpa cannot serve packed steps here: not tried on mps"):
        choose(need, forced="sdpa")


@given(batch_of=sequences, block_size=st.sampled_from([1, 5, 16]))
@settings(max_examples=40, deadline=None)
def test_a_batch_says_where_every_token_lies(batch_of, block_size):
    layer, batch = filled_cache(batch_of, block_size, 1, 1, True, 0)
    assert not layer.view(-1, 2)[batch.slot_mapping].isnan().any()
    expected = [
        int(batch.block_tables[sequence, position // block_size]) * block_size + position % block_size
        for sequence, (new, context) in enumerate(batch_of)
        for position in range(context - new, context)
    ]
    assert batch.slot_mapping.tolist() == expected
    assert batch.contexts.tolist() == [context for _, context in batch_of]
    dtypes = (batch.slot_mapping.dtype, batch.block_tables.dtype, batch.contexts.dtype)
    assert dtypes == (torch.int64, torch.int32, torch.int32)


def test_a_batch_of_nothing():
    batch = make_batch([], [], [], 16)
    assert batch.slot_mapping.shape == (0,)
    assert batch.block_tables.shape == (0, 0)


def test_a_decode_batch_knows_no_lengths():
    batch = decode_batch(torch.tensor([3, 9]), torch.zeros(2, 5, dtype=torch.int32), torch.tensor([4, 1]).int())
    assert batch.decode_only
    assert batch.context_lengths == ()
    with pytest.raises(ValueError, match="2 slots, 3 block tables"):
        decode_batch(torch.tensor([3, 9]), torch.zeros(3, 5, dtype=torch.int32), torch.tensor([4, 1]).int())


def test_a_batch_knows_whether_it_only_decodes():
    assert make_batch([[0], [1]], [1, 1], [3, 4], 4).decode_only
    assert not make_batch([[0], [1]], [1, 2], [3, 4], 4).decode_only


def test_a_padded_batch_is_not_for_those_who_cut_sequences_apart():
    batch = dataclasses.replace(make_batch([[0]], [2], [3], 4), query_lengths=(), context_lengths=(), padded=True)
    with pytest.raises(ValueError, match="plans for the Triton attention alone, none named 'sdpa'"):
        SDPA.paged(torch.zeros(2, 2, 8), torch.zeros(1, 4, 2, 1, 8), batch, 1.0)


def test_a_cache_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="kv_heads"):
        KVCache(torch.zeros(2, 3, 4, 5, 6))
