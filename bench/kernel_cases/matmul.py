"""Matrix products with weights: small batches of the decoder, where bytes count, and large ones, where rates do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import torch
from kernel_timing import Case, relative_error
from torch.nn import functional

from upright.kernels.triton import skinny_matmul

DTYPE = torch.bfloat16
# (out, in) of every product of a layer, and of the head
DECODERS = {
    "MinerU": {"qkv": (1152, 896), "output": (896, 896), "gate_up": (9728, 896), "down": (896, 4864),
               "head": (151936, 896)},
    "2B": {"qkv": (2048, 1536), "output": (1536, 1536), "gate_up": (17920, 1536), "down": (1536, 8960)},
    "7B": {"qkv": (4608, 3584), "output": (3584, 3584), "gate_up": (37888, 3584), "down": (3584, 18944),
           "head": (152064, 3584)},
}  # fmt: skip
VISION = {"qkv": (3840, 1280), "output": (1280, 1280), "up": (5120, 1280), "down": (1280, 5120)}
PAGE = 5476
_L2 = 2**27  # bytes of weights that take turns, so that none is still in the cache


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    for model in ("MinerU", "7B") if quick else DECODERS:
        for name, shape in DECODERS[model].items():
            yield from _small(device, f"{model} {name}", shape, (1, 8, 64) if quick else (1, 8, 16, 32, 64, 128, 256))
    for name, shape in DECODERS["7B"].items():
        if name != "head":
            yield _large(device, f"7B {name}", 8192, shape)
    for pages in (1,) if quick else (1, 2, 4):
        for name, shape in VISION.items():
            yield _large(device, f"vision {name}", PAGE * pages, shape)


def _small(device: torch.device, name: str, shape: tuple[int, int], counts: tuple[int, ...]) -> Iterator[Case]:
    outputs, inputs = shape
    copies = max(1, -(-_L2 // (outputs * inputs * 2)))
    weights = [torch.randn(outputs, inputs, device=device, dtype=DTYPE) for _ in range(min(copies, 64))]
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    tried = skinny_matmul.useful_splits(outputs, inputs, processors)
    work = skinny_matmul.Workspace.allocate([(outputs, splits) for splits in tried], device)
    for rows in counts:
        x = torch.randn(rows, inputs, device=device, dtype=DTYPE)
        expected = x.float() @ weights[0].float().T
        ways: dict[str, Callable[..., torch.Tensor]] = {"cublas": functional.linear}
        if rows <= skinny_matmul.MOST_ROWS:
            for splits in tried:
                ways[f"skinny, {splits} splits"] = lambda x, weight, splits=splits: skinny_matmul.matmul(
                    x, weight, None, splits, work
                )
        for label, way in ways.items():
            turns = cycle(weights)
            yield Case(
                f"linear {name} M={rows}",
                label,
                lambda x=x, turns=turns, way=way: way(x, next(turns)),
                2 * (outputs * inputs + rows * (inputs + outputs)),
                2 * rows * outputs * inputs,
                lambda x=x, expected=expected, way=way: relative_error(way(x, weights[0]), expected),
            )


def _large(device: torch.device, name: str, rows: int, shape: tuple[int, int]) -> Case:
    outputs, inputs = shape
    x = torch.randn(rows, inputs, device=device, dtype=DTYPE)
    weight, bias = (torch.randn(*s, device=device, dtype=DTYPE) for s in (shape, (outputs,)))
    return Case(
        f"linear {name} M={rows}", "cublas", lambda: functional.linear(x, weight, bias),
        2 * (outputs * inputs + rows * (inputs + outputs)), 2 * rows * outputs * inputs,
    )  # fmt: skip
