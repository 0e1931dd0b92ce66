"""Which attention serves a need: the first candidate that does not decline, or the fastest where a clock is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import torch

from upright.kernels.attention.candidate import AttentionNeed, Candidate, Layout
from upright.kernels.attention.flash import FLASH
from upright.kernels.attention.portable import PORTABLE
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.sdpa import SDPA
from upright.kernels.attention.tiles import TRITON

CANDIDATES: tuple[Candidate, ...] = (TRITON, FLASH, PORTABLE, SDPA, REFERENCE)

_CUDA_ORDER: dict[Layout, tuple[Candidate, ...]] = {  # fastest first
    "decode": (TRITON, PORTABLE, SDPA, REFERENCE),
    "prefill": (TRITON, FLASH, PORTABLE, SDPA, REFERENCE),
    "packed": (TRITON, FLASH, PORTABLE, SDPA, REFERENCE),
}
_OTHER_ORDER = (SDPA, REFERENCE)

Clock = Callable[[Candidate], float]  # milliseconds that a candidate takes


class NoAttention(Exception):
    """No candidate can serve. The message lists every one with its reason."""


class Race(msgspec.Struct, frozen=True):
    """How candidates did that were timed against each other."""

    times: dict[str, float]  # milliseconds
    failed: dict[str, str]  # name → reason

    @property
    def names(self) -> set[str]:
        return self.times.keys() | self.failed.keys()


@dataclass(frozen=True)
class Choice:
    """The candidate that serves, and why others do not (name → reason). `race` is what decided, where one was held."""

    candidate: Candidate
    declined: dict[str, str] = field(default_factory=dict)
    race: Race | None = None


def choose(
    need: AttentionNeed,
    forced: str | None = None,
    candidates: tuple[Candidate, ...] | None = None,
    clock: Clock | None = None,
    earlier: Race | None = None,
) -> Choice:
    """The first of `candidates` that can serve `need`; with `forced`, that one or none; with `clock`, the fastest.

    A forced candidate that has nothing for the layout forces nothing. `candidates` are those for the device and the
    layout if not given. The reference is not timed: it is there for those that decline. Where a race was held `earlier`
    among just those that can serve now, it counts, and none is held.

    Raises: NoAttention when none can, or when the forced one is unknown or declines.
    """
    known = CANDIDATES if candidates is None else candidates
    if forced is not None and forced not in [candidate.name for candidate in known]:
        names = ", ".join(candidate.name for candidate in known)
        raise NoAttention(f"there is no attention candidate {forced!r}; there are: {names}")
    if any(candidate.name == forced and need.layout not in candidate.layouts for candidate in known):
        forced = None
    if candidates is None and any(candidate.name == forced for candidate in _order(need)):
        candidates = _order(need)
    elif candidates is None:
        candidates = _order(need) if forced is None else known
    declined: dict[str, str] = {}
    able: list[Candidate] = []
    for candidate in candidates:
        forbidden = forced is not None and candidate.name != forced
        reason = f"{forced} is forced" if forbidden else candidate.declines(need)
        if reason is None:
            able.append(candidate)
            if clock is None or candidate is REFERENCE:
                break
        else:
            declined[candidate.name] = reason
    if not able and forced is not None:
        why = declined.get(forced, f"it has nothing for {need.layout} attention on this device")
        raise NoAttention(
            f"--attention {forced} cannot serve {need.layout} steps here: {why}; without it the first that can is taken"
        )
    if not able:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in declined.items())
        raise NoAttention(f"no attention candidate can serve {need}: {reasons}")
    if clock is None or len(able) < 3:
        return Choice(able[0], declined)
    racing = [candidate for candidate in able if candidate is not REFERENCE]
    if earlier is not None and earlier.names == {candidate.name for candidate in racing}:
        return _decided(racing, declined, earlier, " at an earlier start")
    return _decided(racing, declined, _race(racing, clock), "")


def _race(racing: list[Candidate], clock: Clock) -> Race:
    times: dict[str, float] = {}
    failed: dict[str, str] = {}
    for candidate in racing:
        try:
            times[candidate.name] = clock(candidate)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            failed[candidate.name] = str(error).splitlines()[0]
    return Race(times, failed)


def _decided(racing: list[Candidate], declined: dict[str, str], race: Race, when: str) -> Choice:
    """The fastest of `racing`; `when` says in words which time it was, nothing for now."""
    failed = {name: f"failed when it was measured{when}: {reason}" for name, reason in race.failed.items()}
    ran = [candidate for candidate in racing if candidate.name in race.times]
    if not ran:
        return Choice(REFERENCE, declined | failed, race)
    best = min(ran, key=lambda candidate: race.times[candidate.name])
    slower = {
        name: f"took {time:.2f} ms{when}, {best.name} {race.times[best.name]:.2f}"
        for name, time in race.times.items()
        if name != best.name
    }
    return Choice(best, declined | failed | slower, race)


def _order(need: AttentionNeed) -> tuple[Candidate, ...]:
    return _CUDA_ORDER[need.layout] if need.device_type == "cuda" else _OTHER_ORDER
