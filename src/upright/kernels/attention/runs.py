"""How rows are packed for attention that stays within each run of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Plan = TypeVar("Plan")


@dataclass(frozen=True)
class Runs:
    """One run after the other: the first `lengths[0]` rows, the next `lengths[1]`, and so on.

    All layers of a pass attend over the same runs, and what a candidate works out for them is worked out once. It lives
    as long as this does, which is how a CUDA graph keeps what it reads.
    """

    lengths: tuple[int, ...]
    plans: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, name: str, make: Callable[[], Plan]) -> Plan:
        if name not in self.plans:
            self.plans[name] = make()
        plan: Plan = self.plans[name]
        return plan
