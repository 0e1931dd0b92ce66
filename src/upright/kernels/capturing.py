"""Captures of CUDA graphs that nothing else in the process can void."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch


@contextmanager
def captured_as(graph: torch.cuda.CUDAGraph, pool: Any = None) -> Iterator[None]:
    """What is launched inside, on a stream that is not the default one, becomes `graph`, with memory from `pool`.

    It must have run before, since a capture cannot compile, nor copy what is not on the device.
    """
    collecting = gc.isenabled()
    gc.disable()  # what it would free may belong to CUDA, which forbids that during a capture
    try:
        # Threads that decode images pin memory meanwhile, and others load kernels: a capture may only forbid that to
        # its own thread
        graph.capture_begin(pool, capture_error_mode="thread_local")
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):  # the capture is void, and says so
                graph.capture_end()
            raise
        graph.capture_end()
    finally:
        if collecting:
            gc.enable()
