"""The decoder through Triton's kernels equals the torch path, and float16 survives what overflows it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.triton_device import DEVICE, INTERPRETED, triton_only
from upright.kernels import compiled
from upright.kernels.attention.batch import KVCache, decode_batch, make_batch
from upright.kernels.attention.candidate import AttentionNeed
from upright.kernels.attention.dispatch import choose
from upright.kernels.attention.reference import REFERENCE
from upright.models.decoder import Decoder
from upright.models.model_config import DecoderConfig, RopeConfig

CONFIG = DecoderConfig(
    hidden_size=96, intermediate_size=160, layers=3, heads=6, kv_heads=2, head_size=16, vocab_size=97,
    rms_norm_eps=1e-6, rope=RopeConfig("default", 1e4, (2, 3, 3)), qkv_bias=True, output_bias=False, mlp_bias=False,
    tied_embeddings=True, max_position=4096,
)  # fmt: skip
NEW = [1, 9, 1, 1]  # tokens of each sequence in a step that mixes


def make_decoder(dtype: torch.dtype, device: str, config: DecoderConfig = CONFIG) -> Decoder:
    """Weights of the same seed, whatever the dtype: contributions to the residual of about 1."""
    decoder = Decoder(config, dtype, torch.device(device), REFERENCE, REFERENCE)
    generator = torch.Generator().manual_seed(3)
    for part in decoder.parameters().values():
        wide = torch.randn(part.shape, generator=generator)
        part.copy_(wide / part.shape[-1] ** 0.5 if part.dim() == 2 else 1 + wide / 4)
    return decoder


def run(decoder: Decoder, device: str, new: list[int]) -> torch.Tensor:
    """Final hidden states of a step after which every sequence has 11 tokens; keys and values before it are random."""
    config = decoder.config
    generator = torch.Generator().manual_seed(4)
    shape = (config.layers, 3 * len(new), 4, 2, config.kv_heads, config.head_size)
    kv = KVCache(torch.randn(shape, generator=generator).to(device, decoder.dtype))
    tables = [list(range(3 * i, 3 * i + 3)) for i in range(len(new))]
    batch = make_batch(tables, new, [11] * len(new), 4, device)
    positions = torch.randint(0, 40, (3, sum(new)), generator=generator).to(device)
    ids = torch.randint(0, config.vocab_size, (sum(new),), generator=generator).to(device)
    final = decoder.forward(decoder.embed(ids), positions, kv, batch)
    assert kv.data.isfinite().all() or not final.isfinite().all()
    return final


def biased() -> DecoderConfig:
    return dataclasses.replace(CONFIG, output_bias=True, mlp_bias=True, rope=RopeConfig("default", 1e4))


class TestTriton:
    pytestmark = triton_only

    @pytest.mark.parametrize("new", [[1], [1, 1], NEW], ids=str)
    @pytest.mark.parametrize("config", [CONFIG, biased()], ids=["three axes", "biases"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
    @torch.inference_mode()
    def test_equals_the_torch_path(self, monkeypatch, dtype, config, new):
        expected = run(make_decoder(torch.float32, "cpu", config), "cpu", new)
        monkeypatch.setattr(compiled, "SERVED", {DEVICE})
        decoder = make_decoder(dtype, DEVICE, config)
        final = run(decoder, DEVICE, new)
        assert final.dtype == dtype
        tolerance = {torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}[dtype]
        torch.testing.assert_close(final.cpu().float(), expected, atol=tolerance, rtol=tolerance)
        assert decoder.logits(final).dtype == dtype
        assert decoder.overflowed() == []

    @pytest.mark.skipif(INTERPRETED, reason="needs CUDA")
    @pytest.mark.parametrize("rows", [1, 3, 16])
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    @torch.inference_mode()
    def test_a_captured_step_follows_what_its_tensors_say(self, dtype, rows):
        decoder = make_decoder(dtype, DEVICE)
        need = AttentionNeed("cuda", torch.cuda.get_device_capability(), dtype, CONFIG.head_size, "decode")
        decoder.decode_attention = choose(need).candidate
        data = torch.randn(CONFIG.layers, 5 * rows, 16, 2, CONFIG.kv_heads, CONFIG.head_size, device=DEVICE).to(dtype)
        kv = KVCache(data.clone())
        tables = torch.zeros(rows, 5, dtype=torch.int32, device=DEVICE)
        ids, positions, slots = torch.zeros(3, rows, dtype=torch.int64, device=DEVICE).unbind()
        contexts = torch.ones(rows, dtype=torch.int32, device=DEVICE)

        def step() -> torch.Tensor:
            batch = decode_batch(slots, tables, contexts)
            return decoder.logits(decoder.forward(decoder.embed(ids), positions.expand(3, -1), kv, batch))

        slots.copy_(torch.arange(rows) * 80)  # each row has a slot of its own
        step()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = step()
        for seed in range(3):
            torch.manual_seed(seed)
            tables.copy_(torch.randperm(5 * rows).view(rows, 5))
            contexts.copy_(torch.randint(1, 80, (rows,)))
            positions.copy_(torch.randint(0, 5000, (rows,)))
            ids.copy_(torch.randint(0, CONFIG.vocab_size, (rows,)))
            last = contexts.long() - 1
            slots.copy_(tables.gather(1, (last // 16).unsqueeze(1)).squeeze(1) * 16 + last % 16)
            kv.data.copy_(data)
            expected = step().clone()
            kv.data.copy_(data)
            graph.replay()
            torch.testing.assert_close(captured, expected, atol=1e-2, rtol=1e-2)


def with_a_large_product(decoder: Decoder, kind: str) -> Decoder:
    """A layer in the middle whose contribution, or what it is made of, leaves float16's range."""
    layer = decoder.layers[1]
    if kind == "output":  # values of some 100 times 4,000
        layer.qkv[-2 * 16 :] *= 100
        layer.output.mul_(4000)
    elif kind == "down":
        layer.down.mul_(100_000)
    else:  # the product of gate and up
        layer.gate_up.mul_(300)
    return decoder


@pytest.mark.parametrize("kind", ["output", "down", "gated"])
@torch.inference_mode()
def test_a_layer_that_overflows_float16_is_found_and_widened(kind):
    expected = run(with_a_large_product(make_decoder(torch.float32, "cpu"), kind), "cpu", NEW)
    decoder = with_a_large_product(make_decoder(torch.float16, "cpu"), kind)
    assert not run(decoder, "cpu", NEW).isfinite().all()
    found = decoder.overflowed()
    assert found[0] == 1
    assert decoder.overflowed() == []
    decoder.widen(found[:1])
    torch.testing.assert_close(run(decoder, "cpu", NEW).float(), expected, atol=2e-2, rtol=2e-2)
    assert decoder.overflowed() == []


@torch.inference_mode()
def test_a_widened_layer_with_biases_computes_the_same():
    decoder = make_decoder(torch.float16, "cpu", biased())
    before = run(decoder, "cpu", NEW)
    decoder.widen(range(3))
    torch.testing.assert_close(run(decoder, "cpu", NEW), before, atol=1e-2, rtol=1e-2)


def test_other_types_have_nothing_to_overflow():
    assert make_decoder(torch.bfloat16, "cpu").overflowed() == []
