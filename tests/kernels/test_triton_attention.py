"""Attention on CUDA against the reference, over odd shapes, with NaN in memory that nobody wrote."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.kernels.paged import filled_cache
from tests.triton_device import DEVICE, HALF, INTERPRETED, triton_only
from upright.kernels.activation import silu_gate_reference
from upright.kernels.attention.batch import PagedBatch, decode_batch
from upright.kernels.attention.candidate import Candidate
from upright.kernels.attention.flash import FLASH
from upright.kernels.attention.portable import PORTABLE
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.runs import Runs
from upright.kernels.attention.sdpa import SDPA
from upright.kernels.attention.tiles import TRITON, prompt_batch
from upright.kernels.hopper import hopper_kernels
from upright.kernels.kv_store import rotate_and_store_reference
from upright.kernels.rotary import rotation_of_angles

pytestmark = triton_only

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}  # of the whole answer's length
HEADS = [(14, 2, 64), (28, 4, 128), (3, 1, 80), (2, 2, 96), (5, 5, 8)]  # query heads, key heads, head size


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """New floating-point memory is NaN: what a kernel forgets to write is seen."""
    empty = torch.empty

    def nan(*args: Any, **kwargs: Any) -> torch.Tensor:
        made = empty(*args, **kwargs)
        return made.fill_(float("nan")) if made.is_floating_point() else made

    monkeypatch.setattr(torch, "empty", nan)


def close(answer: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> None:
    assert answer.dtype == dtype
    assert answer.shape == expected.shape
    error = (answer.float() - expected.float()).norm() / expected.float().norm()
    assert error < TOLERANCE[dtype]


def paged_case(
    batch_of: list[tuple[int, int]], heads: tuple[int, int, int], block_size: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, PagedBatch, torch.Tensor]:
    """Query as a slice of a fused projection, cache, batch, and the reference's answer."""
    count, kv_heads, size = heads
    layer, batch = filled_cache(batch_of, block_size, kv_heads, size, True, len(batch_of), DEVICE)
    layer = layer.to(dtype)
    rows = sum(new for new, _ in batch_of)
    query = torch.randn(rows, count + 2 * kv_heads, size).to(DEVICE, dtype)[:, :count]
    return query, layer, batch, REFERENCE.paged(query.float(), layer.float(), batch, size**-0.5)


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize(("candidate", "dtype"), [(TRITON, HALF), (PORTABLE, HALF), (PORTABLE, torch.float32)])
@pytest.mark.parametrize("biased", [False, True])
def test_decode_that_turns_and_stores_first(candidate, dtype, heads, biased):
    """As in three launches, where the cache holds nothing yet of the new tokens, and one row is nobody's."""
    count, kv_heads, size = heads
    contexts = [1, 17, 64, 65, 300, 129, 40] if not INTERPRETED else [1, 65, 140, 40]
    _, layer, batch, _ = paged_case([(1, context) for context in contexts], heads, 16, dtype)
    qkv = torch.randn(len(contexts), count + 2 * kv_heads, size).to(DEVICE, dtype)
    bias = torch.randn((count + 2 * kv_heads) * size).to(DEVICE, dtype) if biased else None
    angles = torch.randn(len(contexts), size // 2, device=DEVICE) * 10
    slots = batch.slot_mapping.clone()
    for slot in slots.tolist():
        layer[slot // 16, slot % 16] = float("nan")
    blank = layer.isnan().sum()
    slots[-1] = -1
    batch.contexts[-1] = 0
    expected_layer = layer.float()
    wanted = slice(0, -1)
    query = rotate_and_store_reference(qkv[wanted], bias, angles[wanted], expected_layer, slots[wanted], count)
    expected = torch.zeros(qkv[:, :count].shape, device=DEVICE)
    known = replace(batch, context_lengths=(*contexts[:-1], 1))
    expected[wanted] = REFERENCE.paged(
        torch.cat((query, query[:1])).float(), expected_layer.nan_to_num(), known, size**-0.5
    )[wanted]
    rotation = rotation_of_angles(angles, torch.float32)
    for _ in range(2):
        answer = candidate.turned(
            qkv, bias, rotation, layer, decode_batch(slots, batch.block_tables, batch.contexts), size**-0.5
        )
        close(answer, expected, dtype)
    written = slots[wanted]
    torch.testing.assert_close(
        layer[written // 16, written % 16].float(), expected_layer[written // 16, written % 16], atol=2e-2, rtol=2e-2
    )
    assert layer.isnan().sum() == blank - len(written) * 2 * kv_heads * size, "nothing else was written"


@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize(("candidate", "dtype"), [(TRITON, HALF), (PORTABLE, HALF), (PORTABLE, torch.float32)])
@pytest.mark.parametrize("width", [0, 40], ids=["exact", "wide"])
def test_decode(candidate, dtype, heads, width):
    """With only device tensors, tables wider than any context, one context of nothing, and twice in a row."""
    contexts = [1, 17, 64, 65, 300, 129] if not INTERPRETED else [1, 65, 140]
    query, layer, batch, expected = paged_case([(1, context) for context in contexts], heads, 16, dtype)
    tables = torch.nn.functional.pad(batch.block_tables, (0, width), value=2**30)
    for empty in (False, True):
        lengths = batch.contexts.clone()
        if empty:
            lengths[1], expected[1] = 0, 0.0
        captured = decode_batch(batch.slot_mapping, tables, lengths)
        for _ in range(2):
            close(candidate.paged(query, layer, captured, heads[2] ** -0.5), expected, dtype)


@pytest.mark.parametrize("block_size", [1, 5, 8, 128])
def test_blocks_of_any_size(block_size):
    query, layer, batch, expected = paged_case([(1, 9), (1, 150)], (4, 2, 64), block_size, HALF)
    close(TRITON.paged(query, layer, batch, 0.125), expected, HALF)


def test_splits_fill_the_device():
    from upright.kernels.triton.paged_decode import count_splits

    assert count_splits(2, 32768, 132) == 32
    assert count_splits(2, 100, 132) == 2  # no more than there are tiles
    assert count_splits(128, 32768, 132) == 4
    assert count_splits(1024, 32768, 132) == 1


def test_splits_are_those_of_the_sequences_that_are_expected():
    from upright.kernels.triton.paged_decode import workspace

    device = torch.device(DEVICE)
    few, padded = workspace(1, 8, 2, 64, 4096, device), workspace(200, 8, 2, 64, 4096, device, splits_for=1)
    assert (padded.pairs, padded.splits) == (few.pairs, few.splits)
    assert padded.sums.shape == (200, 2, few.splits, 4, 64)
    assert workspace(200, 8, 2, 64, 4096, device).splits < few.splits


def random_steps(count: int) -> list[list[tuple[int, int]]]:
    rng = random.Random(0)
    steps = [[(1, 30), (20, 20), (1, 7), (5, 70), (150, 200), (1, 4)], [(33, 33)], [(2, 2), (2, 130)]]
    if not INTERPRETED:  # prompts that are long and computed whole, among others
        steps += [[(1, 30), (1100, 1100), (1200, 1300), (40, 40), (1500, 1500)], [(1024, 1024)]]
    for _ in range(count):
        contexts = [rng.randint(1, 300) for _ in range(rng.randint(1, 6))]
        steps.append([(rng.choice([1, rng.randint(1, context)]), context) for context in contexts])
    return steps


@pytest.mark.parametrize("step", random_steps(0 if INTERPRETED else 8), ids=str)
@pytest.mark.parametrize("heads", [(14, 2, 64), (3, 1, 80), (8, 2, 128)], ids=str)
@pytest.mark.parametrize("candidate", [TRITON, FLASH, PORTABLE, SDPA], ids=lambda c: c.name)
def test_prefill_and_mixed(candidate, heads, step):
    if INTERPRETED and (candidate is not TRITON or heads[0] > 8):
        pytest.skip("only our own kernels are interpreted, and slowly")
    query, layer, batch, expected = paged_case(step, heads, 16, HALF)
    for _ in range(2):
        close(candidate.paged(query, layer, batch, heads[2] ** -0.5), expected, HALF)


PREFILLS = [
    [(150, 150)],
    [(1, 30), (20, 20), (5, 70), (130, 260), (1, 4), (129, 129), (2, 128)],
    [(3, 400), (260, 260)] if INTERPRETED else [(300, 2500), (1100, 1100), (7, 900), (1024, 1024)],
    [(9, 9)] if INTERPRETED else [(700, 900), (1, 8), (4096, 4096), (33, 2000)],  # more items than processors
]


@pytest.mark.parametrize("step", PREFILLS, ids=str)
@pytest.mark.parametrize(("heads", "block_size"), [((6, 2, 64), 16), ((3, 1, 128), 16), ((2, 2, 128), 32)], ids=str)
@pytest.mark.parametrize("kernel", ["paged_prefill", "overlapped_prefill"])
def test_each_kernel_of_prefill(kernel, heads, block_size, step):
    """By a map that is padded; rows of others stay as they were."""
    from upright.kernels.triton import paged_prefill

    query, layer, batch, expected = paged_case(step, heads, block_size, HALF)
    module = paged_prefill if kernel == "paged_prefill" else hopper_kernels("overlapped_prefill", query.device)
    if module is None:
        pytest.skip("needs compute capability 9.x, and a Triton that has Gluon")
    assert module is paged_prefill or module.serves(layer)
    sequences = [index for index, new in enumerate(batch.query_lengths) if new > 1]
    theirs = torch.tensor([new > 1 for new in batch.query_lengths for _ in range(new)], device=DEVICE)
    tile_map = paged_prefill.tiles(batch.query_lengths, batch.context_lengths, sequences)
    tile_map = torch.nn.functional.pad(tile_map, (0, 0, 0, 5)).to(DEVICE)
    for _ in range(2):
        answer = torch.empty(query.shape, dtype=HALF, device=DEVICE)
        module.attend(query, layer, batch.block_tables, tile_map, heads[2] ** -0.5, answer)
        close(answer[theirs], expected[theirs], HALF)
        assert answer[~theirs].isnan().all()


def test_which_kernel_serves_prefill(monkeypatch):
    """Gluon is not looked for where the card is another, and where there is none its kernel does not serve."""
    pytest.importorskip("triton.experimental.gluon", exc_type=ImportError)
    import sys

    import triton

    def found(capability: tuple[int, int], version: str) -> bool:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(triton, "__version__", version)
        return hopper_kernels.__wrapped__("overlapped_prefill", torch.device("cuda")) is not None

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert found((9, 0), "3.6.0")
    assert not found((9, 0), "3.5.1")
    assert not found((8, 0), "3.6.0")
    assert not found((10, 0), "3.6.0")
    assert hopper_kernels("overlapped_prefill", torch.device("cpu")) is None
    import upright.kernels.triton

    monkeypatch.delattr(upright.kernels.triton, "overlapped_prefill")
    monkeypatch.delitem(sys.modules, "upright.kernels.triton.overlapped_prefill")
    monkeypatch.setitem(sys.modules, "triton.experimental.gluon", None)
    assert not found((9, 0), "3.6.0")


def test_what_is_prefilled_warp_by_warp():
    pytest.importorskip("triton.experimental.gluon", exc_type=ImportError)
    from upright.kernels.triton.overlapped_prefill import serves

    def served(size: int = 64, block_size: int = 16, dtype: torch.dtype = torch.bfloat16) -> bool:
        return serves(torch.zeros(1, block_size, 2, 1, size, dtype=dtype))

    assert served()
    assert served(128, 128, torch.float16)
    assert not served(size=80)
    assert not served(block_size=5)
    assert not served(block_size=256)
    assert not served(dtype=torch.float32)


class StaticStep:
    """The tensors of a step with prompts as a CUDA graph has them, of fixed shapes: a sequence has one of 8 slots, of
    which the last is nobody's, and knows nothing of the order of the step.
    """

    SLOTS, WIDTH = 8, 48
    NOWHERE = 2**30  # a block that no kernel may look for

    def __init__(self, rows: int, decodes: int, tiles: int) -> None:
        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.int32, device=DEVICE)

        self.slot_mapping = zeros(rows).long()
        self.tables, self.contexts = zeros(self.SLOTS, self.WIDTH), zeros(self.SLOTS)
        self.decode_rows, self.decode_sequences = zeros(decodes), zeros(decodes)
        self.tile_map = zeros(tiles, 5)

    def fill(self, batch: PagedBatch, stale: int) -> None:
        """Make it the step that `batch` is; other slots have contexts in the block `stale`."""
        from upright.kernels.triton.paged_prefill import tiles

        lengths, used = batch.query_lengths, len(batch.query_lengths)
        slots = random.Random(used).sample(range(self.SLOTS - 1), used)
        self.slot_mapping.fill_(-1)[: sum(lengths)] = batch.slot_mapping
        self.tables.fill_(self.NOWHERE)[:, 0] = stale
        self.contexts.fill_(9)[-1] = 0
        for slot, table, context in zip(slots, batch.block_tables, batch.context_lengths, strict=True):
            self.tables[slot, : table.shape[0]] = table
            self.contexts[slot] = context
        self.decode_rows.fill_(sum(lengths) + 1)
        self.decode_sequences.fill_(self.SLOTS - 1)
        decodes = [index for index, new in enumerate(lengths) if new == 1]
        for entry, index in enumerate(decodes):
            self.decode_rows[entry] = sum(lengths[:index])
            self.decode_sequences[entry] = slots[index]
        tile_map = tiles(lengths, batch.context_lengths, [index for index in range(used) if index not in decodes])
        tile_map[:, 0] = torch.tensor(slots, dtype=torch.int32)[tile_map[:, 0]]
        self.tile_map.zero_()[: len(tile_map)] = tile_map

    def batch(self, splits_for: int, heads: tuple[int, int, int]) -> PagedBatch:
        return prompt_batch(
            self.slot_mapping, self.tables, self.contexts, self.decode_rows, self.decode_sequences, self.tile_map,
            splits_for, *heads, block_size=16,
        )  # fmt: skip


PROMPT_STEPS = [[(1, 30), (5, 20), (1, 600), (130, 140)], [(33, 33), (2, 9)]]


@pytest.mark.parametrize("step", PROMPT_STEPS, ids=str)
def test_a_padded_step_is_the_same(step):
    heads = (2, 1, 64)
    query, layer, batch, _ = paged_case(step, heads, 16, HALF)
    expected = TRITON.paged(query, layer, batch, 0.125)
    rows, decodes = query.shape[0], batch.query_lengths.count(1)
    # There are two blocks of nobody, and the query of a row of nobody is NaN as well
    stale = next(iter(set(range(layer.shape[0])) - set(batch.block_tables.flatten().tolist())))
    query = torch.nn.functional.pad(query, (0, 0, 0, 0, 0, 3), value=float("nan"))
    static = StaticStep(rows + 3, decodes + 2 if decodes else 0, 6)
    static.fill(batch, stale)
    padded = static.batch(decodes, heads)
    assert not padded.decode_only
    for _ in range(2):
        answer = TRITON.paged(query, layer, padded, 0.125)
        assert torch.equal(answer[:rows], expected)
        assert not answer[rows:].any()


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_a_graph_follows_the_prompts():
    heads = (14, 2, 64)
    cases = [paged_case(step, heads, 16, HALF) for step in PROMPT_STEPS]
    static = StaticStep(160, 5, 6)
    query = torch.full((160, *cases[0][0].shape[1:]), float("nan"), dtype=HALF, device=DEVICE)
    layer = torch.full((64, *cases[0][1].shape[1:]), float("nan"), dtype=HALF, device=DEVICE)
    TRITON.paged(query, layer, static.batch(2, heads), 0.125)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        batch = static.batch(2, heads)
        answers = [TRITON.paged(query, layer, batch, 0.125) for _ in range(2)]
    for their_query, their_layer, their_batch, expected in cases * 2:
        rows = their_query.shape[0]
        query.fill_(float("nan"))[:rows] = their_query
        layer.fill_(float("nan"))[: their_layer.shape[0]] = their_layer
        static.fill(their_batch, stale=63)
        graph.replay()
        for answer in answers:
            close(answer[:rows], expected, HALF)
            assert not answer[rows:].any()


@pytest.mark.parametrize("lengths", [(70,), (5, 129, 64), (64,) * 3 + (16,), (1, 1)], ids=str)
@pytest.mark.parametrize("size", [80, 64, 72, 128, 40])
@pytest.mark.parametrize("candidate", [TRITON, FLASH, PORTABLE, SDPA], ids=lambda c: c.name)
def test_packed(candidate: Candidate, size: int, lengths: tuple[int, ...]) -> None:
    if INTERPRETED and candidate is not TRITON:
        pytest.skip("only our own kernels are interpreted")
    query, key, value = torch.randn(sum(lengths), 6, size).to(DEVICE, HALF).chunk(3, dim=1)
    expected = REFERENCE.packed(query.float(), key.float(), value.float(), Runs(lengths), 0.2)
    close(candidate.packed(query, key, value, Runs(lengths), 0.2), expected, HALF)


def test_every_tiling_gives_the_same():
    from upright.kernels.triton.packed_attention import TILINGS, attend

    lengths = (300, 20) if not INTERPRETED else (130, 20)
    query, key, value = torch.randn(sum(lengths), 3, 80).to(DEVICE, HALF).chunk(3, dim=1)
    expected = REFERENCE.packed(query.float(), key.float(), value.float(), Runs(lengths), 0.2)
    for tiling in TILINGS:
        close(attend(query, key, value, Runs(lengths), 0.2, tiling), expected, HALF)


def test_nothing_of_another_run_is_seen():
    query, key, value = torch.randn(90, 6, 80).to(DEVICE, HALF).chunk(3, dim=1)
    alone = TRITON.packed(query[:50], key[:50], value[:50], Runs((50,)), 0.2)
    key[50:], value[50:] = float("nan"), float("nan")
    assert torch.equal(TRITON.packed(query, key, value, Runs((50, 40)), 0.2)[:50], alone)


@pytest.mark.parametrize(("rows", "outputs", "inputs"), [(1, 64, 256), (7, 100, 304), (33, 130, 384), (64, 1, 128)])
@pytest.mark.parametrize("splits", [1, 2, 3])
def test_products_of_a_few_rows(rows, outputs, inputs, splits):
    from upright.kernels.triton.skinny_matmul import Workspace, matmul

    x = torch.randn(rows, inputs + 16).to(DEVICE, HALF)[:, :inputs]
    weight, bias = torch.randn(outputs, inputs).to(DEVICE, HALF), torch.randn(outputs).to(DEVICE, HALF)
    work = Workspace.allocate([(outputs, splits)], torch.device(DEVICE))
    for added in (None, bias):
        expected = torch.nn.functional.linear(x.float(), weight.float(), None if added is None else added.float())
        for dtype in (None, torch.float32):
            close(matmul(x, weight, added, splits, work, dtype), expected, dtype or HALF)


@pytest.mark.parametrize(("rows", "outputs", "inputs"), [(1, 64, 256), (7, 100, 304), (33, 132, 384), (64, 2, 128)])
@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("factor", [1.0, 2.0**-8])
def test_gated_products_of_a_few_rows(rows, outputs, inputs, splits, factor):
    from upright.kernels.triton.skinny_matmul import Workspace, gated

    x = torch.randn(rows, inputs + 16).to(DEVICE, HALF)[:, :inputs]
    weight, bias = torch.randn(outputs, inputs).to(DEVICE, HALF) / 16, torch.randn(outputs).to(DEVICE, HALF)
    work = Workspace.allocate([(outputs, splits)], torch.device(DEVICE))
    for added in (None, bias):
        whole = torch.nn.functional.linear(x.float(), weight.float(), None if added is None else added.float())
        close(gated(x, weight, added, factor, splits, work), silu_gate_reference(whole, factor), HALF)
        assert not work.arrived.any()


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
@pytest.mark.parametrize("candidate", [TRITON, PORTABLE], ids=lambda c: c.name)
def test_a_graph_follows_the_lengths(candidate):
    query, layer, batch, _ = paged_case([(1, 30), (1, 300), (1, 7)], (14, 2, 64), 16, HALF)
    static = decode_batch(batch.slot_mapping, batch.block_tables, batch.contexts.clone())
    candidate.paged(query, layer, decode_batch(static.slot_mapping, static.block_tables, static.contexts), 0.125)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answers = [candidate.paged(query, layer, static, 0.125) for _ in range(3)]
    for contexts in ([30, 300, 7], [1, 64, 2], [29, 129, 5]):
        static.contexts.copy_(torch.tensor(contexts, dtype=torch.int32))
        told = torch.tensor(contexts, dtype=torch.int32, device="cuda")
        known = replace(batch, context_lengths=tuple(contexts), contexts=told)
        expected = REFERENCE.paged(query.float(), layer.float(), known, 0.125)
        for _ in range(2):
            graph.replay()
            for answer in answers:
                close(answer, expected, HALF)
