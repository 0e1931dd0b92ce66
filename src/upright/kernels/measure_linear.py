"""Which way of multiplying a few rows by a model's weights is the fastest on this device."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice

import torch
from torch import Tensor

from upright.kernels.linear import MeasuredLinear, ProductTimes, linear

_BUCKETS = (1, 8, 16, 32, 64)
_MOST_LAUNCHES = 24  # in one measurement
_BYTES = 2**29  # of weights that one measurement reads, or a single one if it is larger
_REPLAYS = 3


def measure_linear(
    weights: Sequence[Tensor], seconds: float = 1.0, earlier: Sequence[ProductTimes] | None = None
) -> MeasuredLinear:
    """Measures products with `weights` [out, in] on their CUDA device, sm80 or later, 16-bit.

    Weights of one shape take turns, as layers do, so that the cache does not lie. When `seconds` have gone by, not
    counting what the compiler takes, the rest stays with cuBLAS; the largest weights come first. What was measured
    `earlier` counts, and nothing is measured, if these weights have all its products and the kernel its splits.
    """
    from upright.kernels.triton.skinny_matmul import Workspace, matmul, useful_splits

    device = weights[0].device
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
    for weight in weights:
        alike[weight.shape[0], weight.shape[1]].append(weight)
    tried = {shape: useful_splits(*shape, processors) for shape in alike}
    work = Workspace.allocate([(shape[0], splits) for shape, some in tried.items() for splits in some], device)
    times = list(earlier) if earlier is not None and _same_ways(earlier, tried) else None
    with torch.inference_mode():
        for (_, inputs), same in alike.items():  # what is compiled now does not count
            for rows in _BUCKETS:
                matmul(torch.randn(rows, inputs, device=device, dtype=same[0].dtype), same[0], None, 1, work)
        torch.cuda.synchronize(device)
        if times is None:
            times = _times(alike, tried, partial(matmul, bias=None, work=work), seconds)
    best = {(product.outputs, product.inputs, product.rows): product.splits for product in times}
    splits = {product: splits for product, splits in best.items() if splits is not None}
    return MeasuredLinear(splits, _BUCKETS, work, times)


def _same_ways(earlier: Sequence[ProductTimes], tried: Mapping[tuple[int, int], Sequence[int]]) -> bool:
    ways = {(shape, rows): set(splits) for shape, splits in tried.items() for rows in _BUCKETS}
    return all(
        product.ours.keys() == ways.get(((product.outputs, product.inputs), product.rows)) for product in earlier
    )


def _times(
    alike: Mapping[tuple[int, int], Sequence[Tensor]],
    tried: Mapping[tuple[int, int], Sequence[int]],
    matmul: Callable[..., Tensor],
    seconds: float,
) -> list[ProductTimes]:
    """Of each shape of weight and bucket of rows, until `seconds` have gone by. `matmul`: our kernel, without bias."""
    found: list[ProductTimes] = []
    deadline = time.monotonic() + seconds
    for (outputs, inputs), same in sorted(alike.items(), key=lambda item: -sum(w.numel() for w in item[1])):
        for rows in _BUCKETS:
            x = torch.randn(rows, inputs, device=same[0].device, dtype=same[0].dtype)
            if time.monotonic() > deadline:
                return found
            cublas = _microseconds(partial(linear, x), same)
            ours = {splits: _microseconds(partial(matmul, x, splits=splits), same) for splits in tried[outputs, inputs]}
            found.append(ProductTimes(outputs, inputs, rows, cublas, ours))
    return found


def _microseconds(run: Callable[[Tensor], object], weights: Sequence[Tensor]) -> float:
    """Device time of one call, as in a captured graph of a few dozen."""
    launches = max(1, min(_MOST_LAUNCHES, _BYTES // weights[0].nbytes))
    turns = list(islice(cycle(weights), launches))
    run(turns[0])
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for weight in turns:
            run(weight)
    graph.replay()
    best = float("inf")
    for _ in range(_REPLAYS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end))
    return best * 1e3 / launches
