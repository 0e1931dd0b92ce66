"""Products that go to the way that was measured to be the faster."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from upright.kernels import measure_linear as measuring
from upright.kernels.linear import MeasuredLinear, ProductTimes, linear
from upright.kernels.measure_linear import measure_linear


def test_only_what_was_measured_leaves_cublas(monkeypatch):
    asked = []

    def matmul(x, weight, bias, splits, work):
        asked.append((tuple(x.shape), splits))
        return linear(x, weight, bias)

    ours = ModuleType("skinny_matmul")
    ours.matmul = matmul
    monkeypatch.setitem(sys.modules, "upright.kernels.triton.skinny_matmul", ours)
    table = MeasuredLinear({(3, 4, 8): 2, (3, 4, 64): 1}, (8, 16, 64), SimpleNamespace(), {})
    weight, other = torch.randn(3, 4), torch.randn(5, 4)
    for rows in (0, 1, 8, 9, 16, 17, 64, 65):
        x = torch.randn(rows, 4)
        assert torch.equal(table(x, weight), linear(x, weight))
        assert torch.equal(table(x, other, other[:, 0]), linear(x, other, other[:, 0]))
    assert asked == [((1, 4), 2), ((8, 4), 2), ((17, 4), 1), ((64, 4), 1)]


@pytest.mark.parametrize(
    ("cublas", "ours", "splits"), [(10.0, {1: 12.0, 2: 9.0, 4: 9.5}, 2), (10.0, {1: 9.8}, None), (10.0, {3: 9.6}, 3)]
)
def test_our_kernel_serves_where_it_is_well_ahead(cublas, ours, splits):
    assert ProductTimes(3, 4, 8, cublas, ours).splits == splits


@pytest.fixture
def measured(monkeypatch):
    """Shapes that were measured, on a stand-in for a device where our kernel wins where the inputs are two."""
    found = []

    def microseconds(run, weights):
        ours = "splits" in run.keywords
        if not ours:
            found.append(tuple(weights[0].shape))
        return (1.0 if weights[0].shape[1] == 2 else 3.0) + run.keywords["splits"] if ours else 3.0

    kernel = ModuleType("skinny_matmul")
    kernel.matmul = lambda x, weight, bias, splits, work: linear(x, weight, bias)
    kernel.useful_splits = lambda outputs, inputs, processors: (1, inputs)
    kernel.Workspace = SimpleNamespace(allocate=lambda products, device: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "upright.kernels.triton.skinny_matmul", kernel)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(multi_processor_count=4))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(measuring, "_microseconds", microseconds)
    return found


def test_what_was_measured_earlier_is_not_measured_again(measured):
    weights = [torch.randn(*shape) for shape in ((5, 2), (3, 4), (5, 2))]
    first = measure_linear(weights)
    assert measured == [(5, 2)] * len(first.buckets) + [(3, 4)] * len(first.buckets)
    assert first.splits == {(5, 2, rows): 1 for rows in first.buckets}
    measured.clear()
    again = measure_linear(weights, earlier=first.times)
    assert (again.splits, again.times, measured) == (first.splits, first.times, [])
    part = measure_linear(weights, earlier=first.times[:2])
    assert (len(part.splits), measured) == (2, []), "time was up then, and the rest stays with cuBLAS"


def test_what_cannot_be_any_more_is_measured_again(measured):
    weights = [torch.randn(5, 2)]
    known = measure_linear(weights).times[0]
    others = [(6, 2, 1, {1: 1.0, 2: 1.0}), (5, 2, 3, known.ours), (5, 2, 1, {1: 1.0, 7: 1.0}), (6, 2, 1, {})]
    for outputs, inputs, rows, ours in others:
        measured.clear()
        table = measure_linear(weights, earlier=[known, ProductTimes(outputs, inputs, rows, 3.0, ours)])
        assert len(measured) == len(table.times) == len(table.buckets)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_whatever_is_measured_is_right():
    weights = [torch.randn(*shape, device="cuda").bfloat16() for shape in [(1152, 896)] * 3 + [(896, 4864), (100, 72)]]
    table = measure_linear(weights)
    products = {(product.outputs, product.inputs, product.rows) for product in table.times}
    assert products == {(*weight.shape, rows) for weight in weights for rows in table.buckets}
    for forced in (table.splits, dict.fromkeys(products, 2 if weights[0].shape[1] > 256 else 1)):
        chosen = MeasuredLinear(forced, table.buckets, table.work, table.times)
        for weight in weights:
            if weight.shape == (100, 72) and forced is not table.splits:
                continue
            for rows in (1, 5, 17, 64, 65):
                x = torch.randn(rows, weight.shape[1], device="cuda").bfloat16()
                expected = linear(x.float(), weight.float())
                error = (chosen(x, weight).float() - expected).norm() / expected.norm()
                assert error < 1e-2
