"""Work is done as it stands at first, then recorded, then replayed; here with graphs that remember what they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from training.recorder import Recorder


class Graph:
    """What is recorded is not done; `replay` does it."""

    recording: Graph | None = None

    def __init__(self) -> None:
        self.work: list[str] = []

    def replay(self) -> None:
        done.extend(f"replayed {one}" for one in self.work)


done: list[str] = []


def do(what: str) -> None:
    if Graph.recording is None:
        done.append(what)
    else:
        Graph.recording.work.append(what)


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    done.clear()

    @contextmanager
    def recording(graph: Graph, *_: Any, **__: Any) -> Iterator[None]:
        Graph.recording = graph
        yield
        Graph.recording = None

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "a pool")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "a stream")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)


def test_every_call_does_its_work_once() -> None:
    recorder = Recorder(torch.device("cuda"))
    for _ in range(4):
        recorder.do("a", lambda: do("a"))
    recorder.do(("b", 1), lambda: do("b"))

    assert done == ["a", "a", "replayed a", "replayed a", "b"]


@pytest.mark.parametrize(("device", "active"), [("cpu", True), ("cuda", False)])
def test_nothing_is_recorded_without_a_gpu_or_where_that_is_not_wanted(device: str, active: bool) -> None:
    recorder = Recorder(torch.device(device), active)
    for _ in range(4):
        recorder.do("a", lambda: do("a"))

    assert done == ["a"] * 4
