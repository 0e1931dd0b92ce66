"""Which way of multiplying a few rows by a model's weights is the fastest on this device."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice

import torch
from torch import Tensor

from upright.kernels.activation import silu_gate
from upright.kernels.capturing import captured_as
from upright.kernels.linear import MeasuredLinear, Product, ProductTimes, linear
from upright.kernels.normalise import rms_norm

_BUCKETS = (1, 8, 16, 32, 64)
_MOST_LAUNCHES = 24  # in one measurement
_BYTES = 2**29  # of weights that one measurement reads, or a single one if it is larger
_REPLAYS = 3

Shape = tuple[int, int, bool]  # outputs, inputs, and whether the product is gated
Ways = Mapping[str, Callable[..., Tensor]]  # by name: as `linear`, or as `gated_linear` without its first operand


def measure_linear(
    weights: Sequence[Tensor], gates: Sequence[Tensor] = (), seconds: float = 1.5,
    earlier: Sequence[ProductTimes] | None = None,
) -> MeasuredLinear:  # fmt: skip
    """Measures products with `weights` [out, in] on their CUDA device, sm80 or later, 16-bit, and gated ones with
    `gates`.

    Weights of one shape take turns, as layers do, so that the cache does not lie. When `seconds` have gone by, not
    counting what the compiler takes, the rest stays with cuBLAS; the largest weights come first. What was measured
    `earlier` counts, and nothing is measured, if it is of the ways that there are now.
    """
    alike: dict[Shape, list[Tensor]] = defaultdict(list)
    for kind, is_gated in ((weights, False), (gates, True)):
        for weight in kind:
            alike[weight.shape[0], weight.shape[1], is_gated].append(weight)
    ways = ways_of([(same[0], is_gated) for (_, _, is_gated), same in alike.items()])
    by_shape = dict(zip(alike, ways, strict=True))
    with torch.inference_mode():
        for shape, same in alike.items():  # what is compiled now does not count
            for rows in _BUCKETS:
                for way in by_shape[shape].values():
                    _run(way, _rows(same[0], rows), same[0], shape)
        torch.cuda.synchronize(weights[0].device)
        known = earlier if earlier is not None and _same_ways(earlier, by_shape) else None
        times = list(known) if known is not None else _times(alike, by_shape, seconds)
    chosen = {
        product.product: by_shape[product.outputs, product.inputs, product.gated][product.best]
        for product in times
        if product.best is not None
    }
    return MeasuredLinear(chosen, _BUCKETS, times)


def ways_of(weights: Sequence[tuple[Tensor, bool]]) -> list[Ways]:
    """Our ways of multiplying by each of `weights`, of which each is gated or not. They share a workspace."""
    from upright.kernels.triton.skinny_matmul import Workspace, gated, matmul, useful_splits

    device = weights[0][0].device
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    tried = [useful_splits(weight.shape[0], weight.shape[1], processors) for weight, _ in weights]
    products = [(weight.shape[0], splits) for (weight, _), some in zip(weights, tried, strict=True) for splits in some]
    work = Workspace.allocate(products, device)
    return [
        {f"{splits} splits": partial(gated if is_gated else matmul, splits=splits, work=work) for splits in some}
        for (_, is_gated), some in zip(weights, tried, strict=True)
    ]


def _same_ways(earlier: Sequence[ProductTimes], ways: Mapping[Shape, Ways]) -> bool:
    names = {Product(*shape[:2], rows, shape[2]): some.keys() for shape, some in ways.items() for rows in _BUCKETS}
    return all(product.ours.keys() == names.get(product.product) for product in earlier)


def _times(alike: Mapping[Shape, Sequence[Tensor]], ways: Mapping[Shape, Ways], seconds: float) -> list[ProductTimes]:
    """Of each shape of weight and bucket of rows, until `seconds` have gone by."""
    found: list[ProductTimes] = []
    deadline = time.monotonic() + seconds
    for shape, same in sorted(alike.items(), key=lambda item: -sum(w.numel() for w in item[1])):
        cublas = _gated_by_cublas if shape[2] else linear
        for rows in _BUCKETS:
            if time.monotonic() > deadline:
                return found
            x = _rows(same[0], rows)
            ours = {name: _microseconds(way, x, same, shape) for name, way in ways[shape].items()}
            outputs, inputs, is_gated = shape
            found.append(ProductTimes(outputs, inputs, rows, _microseconds(cublas, x, same, shape), ours, is_gated))
    return found


def _gated_by_cublas(x: Tensor, weight: Tensor, bias: Tensor | None, factor: float) -> Tensor:
    return silu_gate(linear(x, weight, bias), factor)


def _rows(weight: Tensor, rows: int) -> Tensor:
    return torch.randn(rows, weight.shape[1], device=weight.device, dtype=weight.dtype)


def _run(way: Callable[..., Tensor], x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    return way(x, weight, None, 1.0) if shape[2] else way(x, weight, None)


def _microseconds(way: Callable[..., Tensor], x: Tensor, weights: Sequence[Tensor], shape: Shape) -> float:
    """Device time of one call, as in a captured graph of a few dozen.

    Each stands behind a short kernel that lets its successor start early, as in a decoder: what a product can do before
    its rows are there counts.
    """
    launches = max(1, min(_MOST_LAUNCHES, _BYTES // weights[0].nbytes))
    turns = list(islice(cycle(weights), launches))
    gain = torch.ones(x.shape[1], device=x.device, dtype=x.dtype)

    def run(weight: Tensor) -> None:
        _run(way, rms_norm(x, gain, 1e-6), weight, shape)

    run(turns[0])
    torch.cuda.synchronize(x.device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(torch.cuda.Stream(x.device)), captured_as(graph):  # type: ignore[no-untyped-call]
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
