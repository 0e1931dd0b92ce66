"""Kernels that Triton compiles after the engine has begun to serve: each is a pause that some request waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from upright.kernels.compiled import compiler_loaded


def watch_compiles(told: Callable[[str, float], None]) -> None:
    """From now on `told` gets the signature of each kernel that is compiled, or read from the cache, and the seconds.

    Nothing where Triton was never imported. Triton has one place for such a hook, for the whole process.
    """
    if not compiler_loaded():
        return
    from triton import knobs

    began = 0.0

    def before(**_: Any) -> None:
        nonlocal began
        began = time.monotonic()

    def after(*, repr: str, **_: Any) -> None:
        told(repr, time.monotonic() - began)

    knobs.runtime.jit_cache_hook = before
    knobs.runtime.jit_post_compile_hook = after
