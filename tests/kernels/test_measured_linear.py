"""Products that go to the way that was measured to be the faster."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from upright.kernels.linear import MeasuredLinear, linear


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_whatever_is_measured_is_right():
    from upright.kernels.measure_linear import measure_linear

    weights = [torch.randn(*shape, device="cuda").bfloat16() for shape in [(1152, 896)] * 3 + [(896, 4864), (100, 72)]]
    table = measure_linear(weights)
    assert set(table.times) == {(*weight.shape, rows) for weight in weights for rows in table.buckets}
    for forced in (table.splits, dict.fromkeys(table.times, 2 if weights[0].shape[1] > 256 else 1)):
        chosen = MeasuredLinear(forced, table.buckets, table.work, table.times)
        for weight in weights:
            if weight.shape == (100, 72) and forced is not table.splits:
                continue
            for rows in (1, 5, 17, 64, 65):
                x = torch.randn(rows, weight.shape[1], device="cuda").bfloat16()
                expected = linear(x.float(), weight.float())
                error = (chosen(x, weight).float() - expected).norm() / expected.norm()
                assert error < 1e-2
