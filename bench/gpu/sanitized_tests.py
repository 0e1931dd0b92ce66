"""A pytest plugin for `sanitize.py`: takes one process's share of the tests, and counts what they launch.

UPRIGHT_SHARE is `2/9` for the third of nine shares; with UPRIGHT_EVERY=3 they share every third test of each function
but that of UPRIGHT_LEFT_OUT. They come in turns, one of each function and then the next of each, and after
UPRIGHT_SECONDS no further one begins. UPRIGHT_LAUNCHES names the file that is written after each test. With
UPRIGHT_OLDER=1 no kernel starts before the one ahead of it has ended, as on cards before sm90.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

NEIGHBOURS = 5  # tests that stay together: they often need the same compiled kernels
OTHERS = ("flash", "sdpa")  # candidates for attention that are not ours
BEGAN = time.monotonic()

launches: Counter[str] = Counter()  # by "file.kernel dtypes"
outcomes: Counter[str] = Counter()


def wanted(item: Any) -> bool:
    """Without graphs: memory is not cached here, and none may be allocated while a graph is captured."""
    given = getattr(getattr(item, "callspec", None), "params", {})
    candidate = getattr(given.get("candidate"), "name", "")
    if item.originalname == os.environ.get("UPRIGHT_LEFT_OUT"):
        return False
    return "graph" not in item.name and candidate not in OTHERS and given.get("device") != "torch"


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    index, count = map(int, os.environ["UPRIGHT_SHARE"].split("/"))
    every = int(os.environ.get("UPRIGHT_EVERY", "1"))
    chosen = [item for turn, item in in_turns(list(filter(wanted, items))) if turn % every == 0]
    share = [item for place, item in enumerate(chosen) if place // NEIGHBOURS % count == index]
    items[:] = [item for _, item in sorted(in_turns(share), key=lambda pair: pair[0])]


def in_turns(items: list[Any]) -> list[tuple[int, Any]]:
    """Each with the number of those of the same function before it."""
    met: Counter[str] = Counter()
    found = []
    for item in items:
        function = f"{item.path.name} {item.originalname}"
        found.append((met[function], item))
        met[function] += 1
    return found


def pytest_runtest_protocol(item: Any) -> bool | None:
    """True: nothing is done with it."""
    if time.monotonic() - BEGAN < float(os.environ["UPRIGHT_SECONDS"]):
        return None
    outcomes["left for want of time"] += 1
    write()
    return True


def pytest_configure(config: pytest.Config) -> None:
    from triton.runtime.jit import JITFunction

    if os.environ.get("UPRIGHT_OLDER") == "1":
        from upright.kernels.triton import early

        early.serves = lambda device: False

    run = JITFunction.run

    def counted(kernel: Any, *values: Any, grid: Any, warmup: bool, **named: Any) -> Any:
        tensors = [value for value in (*values, *named.values()) if isinstance(value, torch.Tensor)]
        dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors if tensor.is_floating_point()}
        name = f"{kernel.fn.__module__.rpartition('.')[2]}.{kernel.fn.__name__}"
        if not warmup:
            launches[f"{name} {','.join(sorted(dtypes))}"] += 1
        return run(kernel, *values, grid=grid, warmup=warmup, **named)

    JITFunction.run = counted


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        outcomes[report.outcome] += 1
        write()


def write() -> None:
    Path(os.environ["UPRIGHT_LAUNCHES"]).write_text(json.dumps({"launches": launches, "outcomes": outcomes}))
