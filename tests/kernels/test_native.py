"""The C layers against the torch path, over shapes that do not divide evenly, and where they cannot be had."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.kernels.attention.batch import KVCache, make_batch
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.native import library
from upright.kernels.native.decoder import MAX_ROWS
from upright.kernels.native.library import NativeUnavailable
from upright.models.decoder import Decoder
from upright.models.model_config import DecoderConfig, RopeConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """By two threads, whatever the machine has: what they share is half of what can be wrong."""
    try:
        library.load_library()
    except NativeUnavailable as error:
        pytest.skip(str(error))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def make_decoder(heads: int, kv_heads: int, head_size: int, hidden: int, mlp: int, biased: bool) -> Decoder:
    config = DecoderConfig(
        hidden_size=hidden, intermediate_size=mlp, layers=2, heads=heads, kv_heads=kv_heads, head_size=head_size,
        vocab_size=97, rms_norm_eps=1e-6, rope=RopeConfig("default", 1e4), qkv_bias=biased, output_bias=biased,
        mlp_bias=biased, tied_embeddings=False, max_position=4096,
    )  # fmt: skip
    decoder = Decoder(config, torch.float32, CPU, REFERENCE, REFERENCE)
    generator = torch.Generator().manual_seed(heads * head_size + hidden)
    for part in decoder.parameters().values():
        part.normal_(0, 0.3, generator=generator)
    return decoder


shapes = st.tuples(
    st.sampled_from([(1, 1), (4, 2), (6, 1), (9, 3), (14, 2)]),
    st.sampled_from([8, 20, 64, 80]),
    st.integers(1, 80),
    st.integers(1, 120),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, block_size=st.sampled_from([1, 5, 16]), seed=st.integers(0, 10_000))
def test_equals_the_torch_path(shape, block_size, seed):
    (heads, kv_heads), head_size, hidden, mlp, biased = shape
    rng = random.Random(seed)
    decoder = make_decoder(heads, kv_heads, head_size, hidden, mlp, biased)
    news = [rng.choice([1, 1, 1, 2, 5]) for _ in range(rng.randint(1, 6))]
    while sum(news) > MAX_ROWS:
        news.pop()
    contexts = [new + rng.choice([0, 1, 30, 255, 256, 257, 600]) for new in news]
    needed = [-(-context // block_size) for context in contexts]
    blocks = rng.sample(range(sum(needed) + 3), sum(needed))
    tables = [[blocks.pop() for _ in range(count)] for count in needed]
    batch = make_batch(tables, news, contexts, block_size)
    shape_of_cache = (2, sum(needed) + 3, block_size, 2, kv_heads, head_size)
    generator = torch.Generator().manual_seed(seed)
    filled = torch.full(shape_of_cache, torch.nan)  # what lies past a context must not be read
    for table, context in zip(tables, contexts, strict=True):
        for position in range(context):
            filled[:, table[position // block_size], position % block_size] = torch.randn(
                2, 2, kv_heads, head_size, generator=generator
            )
    states = torch.randn(sum(news), hidden, generator=generator)
    starts = [context - new for new, context in zip(news, contexts, strict=True)]
    positions = torch.tensor([s + at for s, new in zip(starts, news, strict=True) for at in range(new)]).expand(3, -1)
    ours, theirs = KVCache(filled.clone()), KVCache(filled.clone())
    expected = decoder.forward(states.clone(), positions, theirs, batch)
    decoder.use_native()
    untouched = states.clone()
    result = decoder.forward(states, positions, ours, make_batch(tables, news, contexts, block_size))
    assert torch.equal(states, untouched), "the embeddings were overwritten"
    torch.testing.assert_close(result, expected, atol=2e-4, rtol=2e-4)
    torch.testing.assert_close(ours.data, theirs.data, atol=1e-4, rtol=1e-4, equal_nan=True)
    torch.testing.assert_close(decoder.logits(result), result @ decoder.head.T, atol=1e-4, rtol=1e-4)


def test_more_rows_are_left_to_torch(monkeypatch):
    decoder = make_decoder(4, 2, 8, 16, 24, False)
    decoder.use_native()
    monkeypatch.setattr(decoder.native, "forward", lambda *_: pytest.fail("C was asked for too many rows"))
    cache = KVCache.allocate(2, 8, 16, 2, 8, torch.float32, CPU)
    rows = MAX_ROWS + 1
    batch = make_batch([list(range(-(-rows // 16)))], [rows], [rows], 16)
    assert decoder.forward(torch.randn(rows, 16), torch.arange(rows).expand(3, -1), cache, batch).shape == (rows, 16)


def test_what_it_cannot_serve_is_declined_with_the_reason():
    many = make_decoder(17, 1, 8, 16, 24, False)
    with pytest.raises(NativeUnavailable, match="17 query heads"):
        many.use_native()
    half = Decoder(many.config, torch.bfloat16, CPU, REFERENCE, REFERENCE)
    with pytest.raises(NativeUnavailable, match="float32 only, not bfloat16"):
        half.use_native()


@pytest.mark.parametrize(
    ("compiler", "reason"), [("no-such-compiler", "no C compiler"), ("false", "does not compile it")]
)
def test_without_a_compiler_it_says_so(monkeypatch, tmp_path, compiler, reason):
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NativeUnavailable, match=reason):
        library.load_library()
    assert not list(tmp_path.rglob("*.so")), "half a library was left behind"
