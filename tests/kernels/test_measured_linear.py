"""Products that go to the way that was measured to be the faster."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from upright.kernels import measure_linear as measuring
from upright.kernels.activation import silu_gate, silu_gate_reference
from upright.kernels.linear import MeasuredLinear, Product, ProductTimes, gated_linear, linear
from upright.kernels.measure_linear import measure_linear, ways_of


def test_only_what_was_measured_leaves_cublas():
    asked = []

    def way(name):
        def product(x, weight, bias, *factor):
            asked.append((tuple(x.shape), name))
            return silu_gate(linear(x, weight, bias), *factor) if factor else linear(x, weight, bias)

        return product

    ways = {Product(3, 4, 8, False): way("a"), Product(3, 4, 64, False): way("b"), Product(6, 4, 16, True): way("c")}
    table = MeasuredLinear(ways, (8, 16, 64), [])
    weight, other = torch.randn(3, 4), torch.randn(5, 4)
    for rows in (0, 1, 8, 9, 16, 17, 64, 65):
        x = torch.randn(rows, 4)
        assert torch.equal(table(x, weight), linear(x, weight))
        assert torch.equal(table(x, other, other[:, 0]), linear(x, other, other[:, 0]))
    assert asked == [((1, 4), "a"), ((8, 4), "a"), ((17, 4), "b"), ((64, 4), "b")]
    asked.clear()
    gates = torch.randn(6, 4)
    for rows in (0, 8, 9, 16, 17, 65):
        x = torch.randn(rows, 4)
        expected = silu_gate(linear(x, gates), 0.5)
        assert torch.equal(gated_linear(table, x, gates, None, 0.5), expected)
        assert torch.equal(gated_linear(linear, x, gates, None, 0.5), expected)
        assert torch.equal(table(x, gates), linear(x, gates)), "what is not gated is another product"
    assert asked == [((9, 4), "c"), ((16, 4), "c")]


@pytest.mark.parametrize(
    ("cublas", "ours", "best"),
    [(10.0, {"a": 12.0, "b": 9.0, "c": 9.5}, "b"), (10.0, {"a": 9.8}, None), (10.0, {"c": 9.6}, "c"), (10.0, {}, None)],
)
def test_our_kernel_serves_where_it_is_well_ahead(cublas, ours, best):
    assert ProductTimes(3, 4, 8, cublas, ours).best == best


@pytest.fixture
def measured(monkeypatch):
    """Shapes that were measured, on a stand-in for a device where a way of ours wins where the inputs are two."""
    found = []

    def microseconds(way, x, weights, shape):
        if way not in (linear, measuring._gated_by_cublas):
            return 1.0 + way.keywords["splits"] if shape[1] == 2 else 9.0
        found.append(shape)
        return 3.0

    kernel = ModuleType("skinny_matmul")
    kernel.matmul = lambda x, weight, bias, splits, work: linear(x, weight, bias)
    kernel.gated = lambda x, weight, bias, factor, splits, work: silu_gate(linear(x, weight, bias), factor)
    kernel.useful_splits = lambda outputs, inputs, processors: (1, inputs)
    kernel.Workspace = SimpleNamespace(allocate=lambda products, device: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "upright.kernels.triton.skinny_matmul", kernel)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(multi_processor_count=4))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(measuring, "_microseconds", microseconds)
    return found


def test_what_was_measured_earlier_is_not_measured_again(measured):
    weights = [torch.randn(*shape) for shape in ((5, 2), (3, 4), (5, 2))]
    gates = [torch.randn(4, 2)]
    first = measure_linear(weights, gates)
    count = len(first.buckets)
    assert measured == [(5, 2, False)] * count + [(3, 4, False)] * count + [(4, 2, True)] * count
    assert {product.product: product.best for product in first.times if product.best is not None} == {
        (outputs, 2, rows, gated): "1 splits" for outputs, gated in ((5, False), (4, True)) for rows in first.buckets
    }
    assert {product: way.keywords["splits"] for product, way in first.ways.items()} == dict.fromkeys(first.ways, 1)
    measured.clear()
    again = measure_linear(weights, gates, earlier=first.times)
    assert (again.ways.keys(), again.times, measured) == (first.ways.keys(), first.times, [])
    part = measure_linear(weights, gates, earlier=first.times[:2])
    assert (len(part.ways), measured) == (2, []), "time was up then, and the rest stays with cuBLAS"


def test_what_cannot_be_any_more_is_measured_again(measured):
    weights = [torch.randn(5, 2)]
    known = measure_linear(weights).times[0]
    others = [(6, 2, 1, known.ours), (5, 2, 3, known.ours), (5, 2, 1, {"1 splits": 1.0}), (6, 2, 1, {})]
    for outputs, inputs, rows, ours in others:
        measured.clear()
        table = measure_linear(weights, earlier=[known, ProductTimes(outputs, inputs, rows, 3.0, ours)])
        assert len(measured) == len(table.times) == len(table.buckets)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_whatever_is_measured_is_right():
    weights = [torch.randn(*shape, device="cuda").bfloat16() for shape in [(1152, 896)] * 3 + [(896, 4864), (100, 72)]]
    gates = [torch.randn(2 * 304, 896, device="cuda").bfloat16() / 30]
    table = measure_linear(weights, gates)
    products = {product.product for product in table.times}
    kinds = [*((*weight.shape, False) for weight in weights), *((*gate.shape, True) for gate in gates)]
    assert products == {(*shape, rows, gated) for *shape, gated in kinds for rows in table.buckets}
    for weight, gated in [*((weight, False) for weight in weights), (gates[0], True)]:
        (ways,) = ways_of([(weight, gated)])
        assert ways
        for name, way in ways.items():
            for rows in (1, 5, 17, 33, 64):
                x = torch.randn(rows, weight.shape[1], device="cuda").bfloat16()
                whole = linear(x.float(), weight.float())
                expected = silu_gate_reference(whole, 0.5) if gated else whole
                answers = [way(x, weight, None, 0.5) if gated else way(x, weight, None) for _ in range(3)]
                error = (answers[0].float() - expected).norm() / expected.norm()
                assert error < 1e-2, (name, rows)
                assert all(torch.equal(answer, answers[0]) for answer in answers), (name, rows)
    for weight in weights:
        for rows in (1, 5, 17, 64, 65):
            x = torch.randn(rows, weight.shape[1], device="cuda").bfloat16()
            expected = linear(x.float(), weight.float())
            assert (table(x, weight).float() - expected).norm() / expected.norm() < 1e-2
