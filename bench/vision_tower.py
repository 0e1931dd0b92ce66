#!/usr/bin/env python3
"""What an image costs: decoding on the host, and every part of the vision tower on a GPU.

Usage: vision_tower.py [--json FILE] [--device cuda] [--layers 32]

The tower has the shape of MinerU2.5's and random weights. A page is a 1036x1036 PNG of rendered text, a crop 560x280.
"attention" and "linear" are measured alone, with the very calls of a layer; "rest" is what a layer takes beyond them.
TFLOP/s are of the tower's own arithmetic; the peak beside them is a large matrix product's in the same run.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import string
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from upright.engine.image_queue import CORES, THREADS
from upright.engine.images import ImageDecoder
from upright.kernels.activation import quick_gelu
from upright.kernels.attention.candidate import AttentionNeed
from upright.kernels.attention.dispatch import choose
from upright.kernels.attention.measure import PAGE, packed_clock
from upright.kernels.linear import linear
from upright.kernels.rotary import rotate_
from upright.messages import Image as Picture
from upright.models.image_grid import ImageGrid, image_grid
from upright.models.image_pixels import pack_patches
from upright.models.loading import fill_with_dummies
from upright.models.model_config import ImageProcessing, VisionConfig
from upright.models.vision import VisionTower
from upright.models.work import image_work

VISION = VisionConfig("qwen2_vl", 32, 1280, 16, 5120, 896, 14, 2, 2, 3)
PROCESSING = ImageProcessing(3136, 1605632, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIZES = {"page": (1036, 1036), "crop": (560, 280)}
PASSES = (("page", 1), ("page", 2), ("page", 4), ("crop", 1), ("crop", 10), ("crop", 16))


def png(kind: str, seed: int) -> bytes:
    width, height = SIZES[kind]
    rng = random.Random(seed)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for y in range(20, height - 20, 18):
        words = ("".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(width // 60))
        draw.text((20, y), " ".join(words), fill="black")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def grid_of(kind: str) -> ImageGrid:
    width, height = SIZES[kind]
    return image_grid(height, width, VISION, PROCESSING)


def decoding(device: torch.device) -> dict[str, Any]:
    """Milliseconds an image on one thread, and images a second on all that the engine would use."""
    decoder = ImageDecoder(VISION.patch_size, device)
    results: dict[str, Any] = {"cores": CORES, "threads": THREADS}
    for kind in SIZES:
        grid = grid_of(kind)
        files = [png(kind, seed) for seed in range(4)]
        pictures = [Picture(file, b"", 0, grid.grid_height, grid.grid_width, grid.tokens) for file in files]
        decoder.decode(pictures[0])
        times = []
        for picture in pictures * 4:
            began = time.perf_counter()
            decoder.decode(picture)
            times.append((time.perf_counter() - began) * 1e3)
        count = THREADS * (8 if kind == "page" else 40)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(decoder.decode, pictures * 4))  # pins the memory that they will use
            began = time.perf_counter()
            list(pool.map(decoder.decode, [pictures[i % len(pictures)] for i in range(count)]))
            rate = count / (time.perf_counter() - began)
        results[kind] = {"bytes": len(files[0]), "ms": sorted(times)[len(times) // 2], "a second": rate}
        print(f"decode {kind}: {results[kind]['ms']:.1f} ms on a thread, {rate:.0f} a second on {THREADS}", flush=True)
    return results


class Clock:
    """Milliseconds on a device, by its own events; on a CPU by the wall."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def of(self, call: Callable[[], object], repeats: int = 5) -> float:
        """The median, after two that do not count."""
        for _ in range(2 if self.cuda else 0):
            call()
        times = []
        for _ in range(repeats if self.cuda else 1):
            if self.cuda:
                torch.cuda.synchronize()
                first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                first.record()
                call()
                last.record()
                torch.cuda.synchronize()
                times.append(first.elapsed_time(last))
            else:
                began = time.perf_counter()
                call()
                times.append((time.perf_counter() - began) * 1e3)
        return sorted(times)[len(times) // 2]

    def host(self, call: Callable[[], object]) -> float:
        """Milliseconds until `call` has queued its work."""
        if self.cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        spent = (time.perf_counter() - began) * 1e3
        if self.cuda:
            torch.cuda.synchronize()
        return spent


def peak(device: torch.device, dtype: torch.dtype, clock: Clock) -> float:
    """TFLOP/s of a matrix product that has everything its way."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / clock.of(lambda: a @ b) / 1e9


def measured(
    tower: VisionTower, kind: str, count: int, pictures: list[torch.Tensor], clock: Clock, most: float
) -> dict[str, Any]:
    grid = grid_of(kind)
    grids = [(grid.grid_height, grid.grid_width)] * count
    device, dtype, depth = tower.device, tower.dtype, tower.config.depth
    rows = grid.grid_height * grid.grid_width * count

    def patchify() -> torch.Tensor:
        return pack_patches(pictures, [grid] * count, VISION, PROCESSING, device, dtype)

    patches = patchify()
    block, heads = tower.blocks[0], tower.config.heads
    hidden = torch.randn(rows, tower.config.hidden_size, device=device).to(dtype)
    wide = torch.randn(rows, tower.config.intermediate_size, device=device).to(dtype)
    qkv = linear(hidden, block.qkv, block.qkv_bias).view(rows, 3 * heads, -1)
    layout = tower.layout(grids)
    turn = tower.rotation(layout.positions)
    query, key, value = qkv.chunk(3, dim=1)
    parts: dict[str, Callable[[], object]] = {
        "qkv": lambda: linear(hidden, block.qkv, block.qkv_bias),
        "output": lambda: linear(hidden, block.output, block.output_bias),
        "up": lambda: linear(hidden, block.up, block.up_bias),
        "down": lambda: linear(wide, block.down, block.down_bias),
        "attention": lambda: tower.attention.packed(query, key, value, layout.images, query.shape[-1] ** -0.5),
        "rotation": lambda: rotate_(qkv[:, : 2 * heads], turn),
        "gelu": lambda: quick_gelu(wide),
        "norm": lambda: block.norm2.of_sum(hidden, hidden),
    }
    layer = {name: clock.of(call) for name, call in parts.items()}
    whole = clock.of(lambda: tower.encode(patches, grids))
    linears = sum(layer[name] for name in ("qkv", "output", "up", "down")) * depth
    attention = layer["attention"] * depth
    work = sum(image_work(replace(VISION, depth=depth), height * width) for height, width in grids)
    result = {
        "ms": whole, "ms an image": whole / count, "patchify ms": clock.of(patchify), "linear ms": linears,
        "attention ms": attention, "rest ms": whole - linears - attention, "TFLOP/s": work / whole / 1e9,
        "share of peak": work / whole / 1e9 / most, "host ms": clock.host(lambda: tower.encode(patches, grids)),
        "patchify host ms": clock.host(patchify), "a layer, ms": layer,
        "linear TFLOP/s": 2 * rows * depth * (4 * 1280**2 + 2 * 1280 * 5120) / linears / 1e9,
        "attention TFLOP/s": 4 * sum((h * w) ** 2 for h, w in grids) * 1280 * depth / attention / 1e9,
    }  # fmt: skip
    print(f"{count} {kind}: {whole:.2f} ms, {whole / count:.2f} an image; linear {linears:.2f}, attention "
          f"{attention:.2f}, rest {result['rest ms']:.2f}, patchify {result['patchify ms']:.2f}; host "
          f"{result['host ms']:.2f}; {result['TFLOP/s']:.0f} TFLOP/s, {result['share of peak']:.0%} of the peak "
          f"(linear {result['linear TFLOP/s']:.0f}, attention {result['attention TFLOP/s']:.0f})",
          flush=True)  # fmt: skip
    print("   a layer: " + ", ".join(f"{name} {ms * 1e3:.0f} us" for name, ms in layer.items()), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--layers", type=int, default=VISION.depth)
    parser.add_argument("--attention", help="one candidate by name")
    options = parser.parse_args()
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    name = torch.cuda.get_device_name(device) if cuda else "CPU"
    results: dict[str, Any] = {"device": name, "torch": torch.__version__}

    def attempt(what: str, call: Callable[[], Any]) -> Any:
        try:
            results[what] = call()
        except Exception as error:  # noqa: BLE001  (the other cases are still worth having)
            traceback.print_exc()
            results[what] = {"error": f"{type(error).__name__}: {error}"}
        return results[what]

    attempt("decode", lambda: decoding(device))
    clock = Clock(device)
    most = attempt("peak TFLOP/s", lambda: peak(device, dtype, clock))
    capability = torch.cuda.get_device_capability(device) if cuda else None
    need = AttentionNeed(device.type, capability, dtype, 80, "packed")
    race = packed_clock(VISION.heads, need, device, {(PAGE,): VISION.depth})
    choice = choose(need, options.attention, clock=race if need.modern else None)
    times = choice.race.times if choice.race is not None else {}
    results["attention"] = {"name": choice.candidate.name, "ms": times, "declined": choice.declined}
    print(
        f"{name}: attention {choice.candidate.name} {times} {choice.declined}, a product {most} TFLOP/s",
        flush=True,
    )
    tower = VisionTower(replace(VISION, depth=options.layers), dtype, device, choice.candidate)
    fill_with_dummies(tower.parameters(), 0, lambda done, total: None)
    decoder = ImageDecoder(VISION.patch_size, device)
    for kind, count in PASSES:
        grid = grid_of(kind)
        file = Picture(png(kind, 1), b"", 0, grid.grid_height, grid.grid_width, grid.tokens)
        pictures = [decoder.decode(file)] * count
        attempt(f"{count} {kind}", lambda k=kind, n=count, p=pictures: measured(tower, k, n, p, clock, most))
    if cuda:
        attempt("unseen sizes", lambda: unseen(tower))
        attempt("resize 1500x2000", lambda: resizing(clock, device))
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2))


def unseen(tower: VisionTower) -> dict[str, list[float]]:
    """Milliseconds of the first and of the second pass for sizes that nothing has been built for."""
    results: dict[str, list[float]] = {"first": [], "second": []}
    for height, width in ((74, 52), (66, 58), (58, 70), (46, 30), (22, 110)):
        patches = torch.zeros(height * width, 1176, dtype=tower.dtype, device=tower.device)
        for times in results.values():
            torch.cuda.synchronize()
            began = time.perf_counter()
            tower.encode(patches, [(height, width)])
            torch.cuda.synchronize()
            times.append(round((time.perf_counter() - began) * 1e3, 2))
    print(f"sizes seen for the first time: {results['first']} ms, again: {results['second']} ms", flush=True)
    return results


def resizing(clock: Clock, device: torch.device) -> dict[str, float]:
    """A photograph brought to the size of a page."""
    pixels = torch.randint(0, 256, (1500, 2000, 3), dtype=torch.uint8).pin_memory()
    grid = image_grid(1500, 2000, VISION, PROCESSING)

    def call() -> torch.Tensor:
        return pack_patches([pixels], [grid], VISION, PROCESSING, device, torch.bfloat16)

    result = {"ms": clock.of(call), "host ms": clock.host(call)}
    print(f"1500x2000 to {grid.height}x{grid.width} as patches: {result}", flush=True)
    return result


if __name__ == "__main__":
    with torch.inference_mode():
        main()
