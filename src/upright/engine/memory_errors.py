"""Which exceptions mean that memory ran out: less of it asked for might do, and nothing else will.

Nothing here imports torch, so that a process that fails while it imports torch can still say why.
"""

from __future__ import annotations

import errno

# How allocators that know only RuntimeError put it: torch on a CPU, the C++ library, CUDA and its libraries
_SIGNS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch.OutOfMemoryError is a RuntimeError, and its message says "out of memory"
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)
