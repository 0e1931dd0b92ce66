"""Where Triton kernels are tested: a GPU, or with TRITON_INTERPRET=1 the CPU through Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from upright.engine.graph_pool import GraphRoom

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# Where one type of 16 bits is enough; the interpreter multiplies no matrices of bfloat16
HALF = torch.float16 if INTERPRETED or os.environ.get("UPRIGHT_TEST_HALF") == "float16" else torch.bfloat16
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}  # relative: two roundings

triton_only = [
    pytest.mark.gpu,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
    pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="needs CUDA or TRITON_INTERPRET=1"),
]


class EagerPool:
    """In the place of a pool of CUDA graphs, where there are none: a replay runs what was captured."""

    def __init__(self) -> None:
        self.room = GraphRoom(1 << 40)

    def capture(self, run: Callable[[], torch.Tensor]) -> Any:
        result = torch.full_like(run(), torch.nan)
        return SimpleNamespace(graph=SimpleNamespace(replay=lambda: result.copy_(run())), result=result)


@pytest.fixture
def triton_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations on DEVICE take their Triton kernel, in the interpreter too."""
    from upright.kernels import compiled

    monkeypatch.setattr(compiled, "SERVED", {DEVICE})


def close(ours: torch.Tensor, reference: torch.Tensor, dtype: torch.dtype) -> None:
    """Equal but for the rounding of `dtype`."""
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(ours.float(), reference.float(), atol=tolerance, rtol=tolerance)
