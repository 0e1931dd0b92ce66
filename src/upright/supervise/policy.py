"""What to do when an engine ends: a pure function of what happened, with no clock, socket or process in it."""

from __future__ import annotations

from dataclasses import dataclass

START_TRIES = 3  # engines in a row that end before they serve


@dataclass(frozen=True)
class Death:
    """How an engine ended. `served` tells a death under load from one at start-up."""

    served: bool
    exit: str  # "killed by SIGKILL", "exit code 1"
    refused: str | None = None  # the engine's own word that its configuration cannot work


@dataclass(frozen=True)
class History:
    failed_starts: int = 0  # in a row


@dataclass(frozen=True)
class Restart:
    """Start another engine. `delay` in seconds."""

    delay: float


@dataclass(frozen=True)
class GiveUp:
    """Start no more; `reason` is for the operator."""

    reason: str


def after_death(history: History, death: Death) -> tuple[History, Restart | GiveUp]:
    """A death under load restarts at once; deaths at start-up back off, and stop after a few."""
    if death.served:
        return History(), Restart(0.0)
    if death.refused is not None:
        return history, GiveUp(death.refused)
    failed = history.failed_starts + 1
    if failed >= START_TRIES:
        return History(failed), GiveUp(f"{failed} engines in a row ended before they served; the last: {death.exit}")
    return History(failed), Restart(0.5 * 2**failed)
