#!/usr/bin/env python3
"""How the fused products of one token are cut best: every tile worth trying, on the shapes of MinerU2.5 and Qwen2-VL.

Usage: fused_tiles.py [--models MinerU,7B] [--seconds 240]

Tiles are compiled by all processors first, then timed one by one; the best three of each product also with an early
start. The tile that the code would take is marked with *.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from kernel_timing import seconds

from upright.kernels.triton import early as early_start
from upright.kernels.triton import fused_linear
from upright.kernels.triton.fused_linear import Tile, tile_of

DTYPE = torch.bfloat16
BLOCKS, WARPS = (512, 1024, 2048, 4096, 8192), (1, 2, 4, 8)
VALUES = (16, 32, 64)  # a thread has in flight
_TURNS = 2**27  # bytes of weights that take turns, so that none is still in the cache


class Product(NamedTuple):
    model: str
    name: str
    out: int
    size: int
    half: int  # of a run of pairs; 0: rows do not pair up

    @property
    def together(self) -> int:
        return 2 if self.half else 1

    def tiles(self) -> list[Tile]:
        """Where a row fits into one step it is taken in one; a device has some programs for each multiprocessor."""
        whole = 1 << (self.size - 1).bit_length()
        found = {tile_of(self.out // self.together, self.size, self.together)}
        for block in BLOCKS:
            for warps in WARPS:
                for values in VALUES:
                    rows = values * 32 * warps // (block * self.together)
                    wide = block >= 256 * warps and (block == whole or (block < whole and block >= 1024))
                    if rows >= 1 and rows & (rows - 1) == 0 and wide and self.out // self.together // rows >= 128:
                        found.add(Tile(rows, block, warps))
        return sorted(found)


def products(models: list[str]) -> Iterator[Product]:
    for name, hidden, mlp, heads, kv_heads, size, vocabulary in (
        ("MinerU", 896, 4864, 14, 2, 64, 151936), ("2B", 1536, 8960, 12, 2, 128, 151936),
        ("7B", 3584, 18944, 28, 4, 128, 152064),
    ):  # fmt: skip
        if name in models:
            yield Product(name, "qkv", (heads + 2 * kv_heads) * size, hidden, size // 2)
            yield Product(name, "output", hidden, heads * size, 0)
            yield Product(name, "gate_up", 2 * mlp, hidden, mlp)
            yield Product(name, "down", hidden, mlp, 0)
            yield Product(name, "head", vocabulary, hidden, 0)


def call(product: Product, tile: Tile) -> Callable[[torch.Tensor], object]:
    """The product with a weight [out, size]; the other operands are made here."""
    made = partial(torch.randn, dtype=DTYPE, device="cuda")
    x, out = made(1, product.size), torch.zeros(1, product.out, dtype=DTYPE, device="cuda")
    gain, half = made(product.size), product.half
    if half == product.out // 2:
        return lambda weight: fused_linear.norm_pairs(x, gain, weight, None, 1e-6, half, tile)
    if half:
        heads = product.out // (2 * half)
        kv_heads = heads // 9
        angles = torch.rand(1, 1, 2 * half, device="cuda")
        slot = torch.zeros(1, dtype=torch.int64, device="cuda")
        turn = (angles, angles, made(1, 16, 2, kv_heads, 2 * half), slot)
        bias = made(product.out)
        return lambda weight: fused_linear.norm_pairs(
            x, gain, weight, bias, 1e-6, half, tile, 1.0, turn, heads - 2 * kv_heads, heads - kv_heads
        )
    if product.name == "head":
        return lambda weight: fused_linear.linear(x, weight, None, None, tile=tile)
    return lambda weight: fused_linear.linear(x, weight, None, out, tile=tile)


def compile_one(product: Product, tile: Tile) -> str | None:
    """Into Triton's cache; returns what went wrong."""
    from triton.runtime.jit import JITFunction

    run = JITFunction.run

    def warm(self: object, *values: object, grid: object, warmup: bool, **named: object) -> object:
        return run(self, *values, grid=grid, warmup=True, **named)

    try:
        weight = torch.zeros(16, dtype=DTYPE, device="cuda")[:1].expand(product.out, product.size)
        with mock.patch.object(JITFunction, "run", warm):
            call(product, tile)(weight)
    except Exception:  # noqa: BLE001 - told when it is timed
        return traceback.format_exc()
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="MinerU,7B")
    parser.add_argument("--seconds", type=float, default=240, help="begin no product after so many")
    arguments = parser.parse_args()
    began = time.monotonic()
    wanted = list(products(arguments.models.split(",")))
    pairs = [(product, tile) for product in wanted for tile in product.tiles()]
    with multiprocessing.get_context("spawn").Pool(min(12, os.cpu_count() or 1)) as pool:
        failures = pool.starmap(compile_one, pairs, chunksize=4)
    failed = [failure for failure in failures if failure is not None]
    print(f"{len(pairs)} tiles compiled in {time.monotonic() - began:.0f} s, {len(failed)} failed")
    print(*failed[:1])
    results: list[dict[str, object]] = []
    for product in wanted:
        if time.monotonic() - began > arguments.seconds:
            print(f"out of time before {product.model} {product.name}")
            break
        results += time_product(product)
    out = os.environ.get("OUT")
    if out:
        (Path(out) / "fused_tiles.json").write_text(json.dumps(results, indent=1))
    return 0


def time_product(product: Product) -> list[dict[str, object]]:
    size = product.out * product.size * DTYPE.itemsize
    weights = [
        torch.randn(product.out, product.size, dtype=DTYPE, device="cuda") for _ in range(max(1, -(-_TURNS // size)))
    ]
    usual = tile_of(product.out // product.together, product.size, product.together)
    taken: dict[tuple[Tile, bool], float] = {}

    def time_tile(tile: Tile, early: bool) -> None:
        try:
            run, turns = call(product, tile), cycle(weights)
            with mock.patch.object(early_start, "serves", lambda _: early):
                taken[tile, early] = seconds(lambda: run(next(turns)))
        except Exception as failure:  # noqa: BLE001 - the other tiles go on
            torch.cuda.synchronize()
            print(f"FAIL {product} {tile} early={early}: {str(failure)[:200]}", flush=True)

    for tile in product.tiles():
        time_tile(tile, False)
    for tile, _ in sorted(taken, key=lambda key: taken[key])[:3]:
        time_tile(tile, True)
    print(f"{product.model} {product.name} [{product.out}, {product.size}], {size / 1e6:.1f} MB")
    order = sorted(taken, key=lambda key: taken[key])
    for place, (tile, early) in enumerate(order):
        if place < 8 or tile == usual:
            print(
                f"  rows {tile.rows:2} block {tile.block:5} warps {tile.warps} {'early' if early else '     '}"
                f" {taken[tile, early] * 1e6:8.2f} µs {size / taken[tile, early] / 1e12:5.2f} TB/s"
                f"{' *' if tile == usual else ''}",
                flush=True,
            )
    return [
        {"product": product._asdict(), "tile": tile._asdict(), "early": early, "seconds": taken[tile, early]}
        for tile, early in order
    ]


if __name__ == "__main__":
    with torch.inference_mode():
        sys.exit(main())
