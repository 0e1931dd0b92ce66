"""Which attention serves a need: the first candidate that does not decline."""

from __future__ import annotations

from dataclasses import dataclass, field

from upright.kernels.attention.candidate import AttentionNeed, Candidate
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.sdpa import SDPA

CANDIDATES: tuple[Candidate, ...] = (SDPA, REFERENCE)  # fastest first


class NoAttention(Exception):
    """No candidate can serve. The message lists every one with its reason."""


@dataclass(frozen=True)
class Choice:
    """The candidate that serves, and why those before it do not (name → reason)."""

    candidate: Candidate
    declined: dict[str, str] = field(default_factory=dict)


def choose(need: AttentionNeed, forced: str | None = None, candidates: tuple[Candidate, ...] = CANDIDATES) -> Choice:
    """The first of `candidates` that can serve `need`; with `forced`, that one or none.

    Raises: NoAttention when none can, or when the forced one is unknown or declines.
    """
    names = [candidate.name for candidate in candidates]
    if forced is not None and forced not in names:
        raise NoAttention(f"there is no attention candidate {forced!r}; there are: {', '.join(names)}")
    declined: dict[str, str] = {}
    for candidate in candidates:
        if forced is not None and candidate.name != forced:
            declined[candidate.name] = f"{forced} is forced"
            continue
        reason = candidate.declines(need)
        if reason is None:
            return Choice(candidate, declined)
        declined[candidate.name] = reason
    reasons = "; ".join(f"{name}: {reason}" for name, reason in declined.items())
    raise NoAttention(f"no attention candidate can serve {need}: {reasons}")
