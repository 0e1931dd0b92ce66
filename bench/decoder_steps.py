#!/usr/bin/env python3
"""Decode steps of whole decoders with random weights, each captured in a graph: which way serves how many rows best.

Usage: decoder_steps.py [--models MinerU,7B] [--rows 1,2,4,8,64,256] [--context 600] [--measure]

"few" is the way with products fused for few rows, "rows" the one for any number; with "early", kernels start before
their predecessor has ended. Products are those of cuBLAS unless --measure picks the faster ones first. A step is
embedding, layers and head; GB/s counts the weights alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch

from upright.kernels.attention.batch import KVCache, decode_batch
from upright.kernels.attention.candidate import AttentionNeed
from upright.kernels.attention.dispatch import choose
from upright.kernels.measure_linear import measure_linear
from upright.kernels.triton import early
from upright.models.decoder import Decoder
from upright.models.model_config import DecoderConfig, RopeConfig

BLOCK = 16
_FEW = 4  # rows that the way for few is tried with
# hidden, intermediate, layers, query heads, key heads, head size, vocabulary, tied
MODELS = {
    "MinerU": (896, 4864, 24, 14, 2, 64, 151936, True),
    "2B": (1536, 8960, 28, 12, 2, 128, 151936, True),
    "7B": (3584, 18944, 28, 28, 4, 128, 152064, False),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="MinerU,7B")
    parser.add_argument("--rows", default="1,2,4,8,64,256")
    parser.add_argument("--context", type=int, default=600)
    parser.add_argument("--measure", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda")
    results = []
    print(f"{'model':8} {'rows':>5} {'way':10} {'µs a step':>10} {'GB/s':>7} {'error':>9}")
    for name in arguments.models.split(","):
        decoder = make_decoder(name, device)
        if arguments.measure:
            decoder.linear = measured = measure_linear(decoder.matrices(), decoder.gates())
            for product in measured.times:
                print(f"{name} {product.product}: {product.best or 'cuBLAS'} of cuBLAS {product.cublas:.1f} µs, "
                      f"{', '.join(f'{way} {time:.1f}' for way, time in product.ours.items())}")  # fmt: skip
        for rows in map(int, arguments.rows.split(",")):
            results += measure(name, decoder, rows, arguments.context)
        del decoder
        torch.cuda.empty_cache()
    out = os.environ.get("OUT")
    if out:
        (Path(out) / "decoder_steps.json").write_text(json.dumps(results, indent=1))
    return 1 if any("failure" in result for result in results) else 0


def make_decoder(name: str, device: torch.device) -> Decoder:
    hidden, mlp, layers, heads, kv_heads, size, vocabulary, tied = MODELS[name]
    quarter = size // 8
    config = DecoderConfig(
        hidden, mlp, layers, heads, kv_heads, size, vocabulary, 1e-6,
        RopeConfig("default", 1e6, (2 * quarter, quarter, size // 2 - 3 * quarter)),
        qkv_bias=True, output_bias=False, mlp_bias=False, tied_embeddings=tied, max_position=32768,
    )  # fmt: skip
    need = AttentionNeed("cuda", torch.cuda.get_device_capability(device), torch.bfloat16, size, "decode")
    chosen = choose(need).candidate
    decoder = Decoder(config, torch.bfloat16, device, chosen, chosen)
    for part in decoder.parameters().values():
        if part.dim() == 1:
            part.fill_(1.0)
        else:
            part.normal_(std=part.shape[-1] ** -0.5)
    return decoder


def measure(name: str, decoder: Decoder, rows: int, context: int) -> list[dict[str, object]]:
    config, device = decoder.config, decoder.final_norm.device
    blocks = -(-context // BLOCK)
    kv = KVCache(
        torch.randn(
            config.layers, rows * blocks, BLOCK, 2, config.kv_heads, config.head_size,
            dtype=torch.bfloat16, device=device,
        )
    )  # fmt: skip
    tables = torch.randperm(rows * blocks, device=device).int().view(rows, blocks)
    contexts = torch.full((rows,), context, dtype=torch.int32, device=device)
    slots = tables[:, -1].long() * BLOCK + (context - 1) % BLOCK
    ids = torch.randint(0, config.vocab_size, (rows,), device=device)
    positions = torch.full((3, rows), context - 1, device=device)
    weights = sum(part.nbytes for key, part in decoder.parameters().items() if key != "embed_tokens.weight")
    weights += decoder.head.nbytes if config.tied_embeddings else 0

    def step() -> torch.Tensor:
        batch = decode_batch(slots, tables, contexts)
        return decoder.logits(decoder.forward(decoder.embed(ids), positions, kv, batch))

    expected: torch.Tensor | None = None
    results: list[dict[str, object]] = []
    ways = {"rows": (0, False), "rows early": (0, True)}
    if rows <= _FEW:
        ways |= {"few": (rows, False), "few early": (rows, True)}
    for way, (most, starts_early) in ways.items():
        result: dict[str, object] = {"model": name, "rows": rows, "way": way}
        try:
            decoder.few_rows = most
            with mock.patch.object(early, "serves", lambda _: starts_early):  # noqa: B023 - called in this round
                answer = step().float()
                taken = replayed(step)
            expected = answer if expected is None else expected
            error = float((answer - expected).norm() / expected.norm())
            result |= {"seconds": taken, "error": error}
            print(
                f"{name:8} {rows:5} {way:10} {taken * 1e6:10.1f} {weights / taken / 1e9:7.0f} {error:9.1e}", flush=True
            )
        except Exception as failure:  # noqa: BLE001 - the other ways go on
            torch.cuda.synchronize()
            print(f"{name:8} {rows:5} {way:10} FAIL {type(failure).__name__}: {str(failure)[:200]}", flush=True)
            result["failure"] = traceback.format_exc()
        results.append(result)
    return results


def replayed(step: Callable[[], object], times: int = 20) -> float:
    """Seconds that a replay of the captured step takes, the best of three runs of `times`."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.replay()
    best = float("inf")
    for _ in range(3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(times):
            graph.replay()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / 1e3 / times)
    return best


if __name__ == "__main__":
    with torch.inference_mode():
        sys.exit(main())
