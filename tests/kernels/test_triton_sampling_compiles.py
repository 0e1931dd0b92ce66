"""The sampler's kernels compile for the GPUs that they are meant for, as a decode step launches them."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from tests.triton_aot import launches_of
from upright.kernels import compiled
from upright.kernels.sampling import SamplerState, draw

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"),
]


@pytest.mark.parametrize("capability", [75, 80, 90])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_draw(monkeypatch: pytest.MonkeyPatch, capability: int, dtype: torch.dtype) -> None:
    monkeypatch.setattr(compiled, "SERVED", {"cpu"})
    state = SamplerState.allocate(8, 2048, torch.device("cpu"))
    inputs = torch.zeros(16, dtype=torch.int32)
    drawn, tokens = torch.zeros(9, dtype=torch.int64), torch.zeros(8, dtype=torch.int64)
    logits = torch.zeros(8, 151936, dtype=dtype)
    launches = launches_of(lambda: draw(logits, state, inputs[:8], inputs[8:], drawn, tokens))
    assert len(launches) == 3
    for launch in launches:
        made = launch.compile(capability)
        assert made.metadata.shared <= 48 * 1024
        assert ".local" not in made.asm["ptx"]
