"""Whether kernels may start before the one ahead of them in the stream has ended.

A kernel that starts early asks for what no other kernel writes, such as weights, waits for its predecessor, and lets
its successor start in turn: the gap between two launches is used. Compute capability 9.0 is needed. Each kernel waits
before it touches anything that another one writes, so an order is kept all along the stream.
"""

from __future__ import annotations

enabled = False


def options() -> dict[str, bool]:
    """What a launch adds to its options; the kernel is told by its constant EARLY."""
    return {"launch_pdl": True} if enabled else {}
