"""The time that a recovery takes, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from upright.supervise.incidents.incident import Recovery


@dataclass
class _Clock:
    """Moments of one recovery, in seconds on the monotonic clock. What another death interrupts starts again."""

    incident: str
    last_sign: float  # of the engine that died
    noticed: float
    loading: float | None = None
    serves: float | None = None
    replays: int = 0  # counters when the engine served, before and after
    tokens: int = 0


class Recoveries:
    """Times the recovery that is under way, and adds up all of them; a replay only if no other death ends it."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._clock: _Clock | None = None

    @property
    def open(self) -> bool:
        """An engine serves again, and something in flight may still wait for its next token."""
        return self._clock is not None and self._clock.serves is not None

    def died(self, last_sign: float, now: float, incident: str, replays: int, tokens: int) -> None:
        """An engine that served is gone. `last_sign`: when it last said or did something."""
        self._clock = _Clock(incident, last_sign, now, replays=replays, tokens=tokens)

    def loading(self, now: float) -> None:
        """A process has begun to load."""
        if self._clock is not None and self._clock.loading is None:
            self._clock.loading = now

    def serves(self, now: float) -> None:
        """Another engine serves. What was in flight may take a little longer to go on."""
        if self._clock is not None:
            self._clock.serves = now
            self.count += 1
            self.seconds += now - self._clock.last_sign

    def finish(self, now: float, replays: int, tokens: int) -> tuple[str, Recovery]:
        """Everything goes on. Returns the incident that it recovered from, and the times."""
        clock, self._clock = self._clock, None
        assert clock is not None and clock.serves is not None
        loading = clock.loading if clock.loading is not None else clock.noticed
        recovery = Recovery(
            notice=max(0.0, clock.noticed - clock.last_sign),
            take_over=loading - clock.noticed,
            load=clock.serves - loading,
            replay=now - clock.serves,
            requests=replays - clock.replays,
            tokens=tokens - clock.tokens,
        )
        self.seconds += recovery.replay
        return clock.incident, recovery
