"""Telling a hang from work: what the front sees of an engine that lives, and whether it has to be ended.

A step may take as long as the work in it takes: its deadline is a multiple of what the engine, from its own slowest
pace so far, expected of it. Time counts only while the front itself was awake to see it, so a machine that was
suspended, or a front that was starved, blames nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from upright.engine.black_box import Reading
from upright.supervise.policy import Cause

SLACK = 5.0  # times what a step was expected to take, which is twice the slowest of its size already
STOPPED_SECONDS = 2.0  # in which a stopped process is given the chance to be continued
LOADING_SECONDS = 600.0  # without a word while the model is loaded: disks and networks may be slow
DECODING_SECONDS = 60.0  # for an image file, within the limits on its size
UNHEARD_SECONDS = 5.0  # an idle engine that the front believes at work has lost a message
AWAKE_SECONDS = 1.0  # between two looks; what is beyond it is time in which the front did not run


@dataclass(frozen=True)
class Sight:
    """One look at a living engine. Times are seconds on the monotonic clock."""

    now: float
    reading: Reading | None  # None: it has not been told to load
    stopped: bool  # the kernel has stopped it: SIGSTOP, a debugger
    aboard: int  # requests that the front believes with it
    last_message: float  # the newest one, either way


@dataclass(frozen=True)
class Hang:
    """The engine has to be ended."""

    cause: Cause
    how: str
    deadline: float  # seconds


class Watch:
    """Looks at one engine again and again. `patience`: the least deadline, in seconds; `factor` lengthens them all."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last_look: float | None = None
        self._asleep = 0.0  # seconds in which the front did not look, in all
        self._marks: dict[str, tuple[float, float, float]] = {}  # what is timed → (from, name of it, `_asleep` then)

    def look(self, sight: Sight, factor: float = 1.0) -> Hang | None:
        """What is wrong with the engine, or None."""
        if self._last_look is not None:
            self._asleep += max(0.0, sight.now - self._last_look - AWAKE_SECONDS)
        self._last_look = sight.now
        stopped_for = self._seconds("stopped", sight.now if sight.stopped else None, sight.now)
        if sight.stopped:
            if stopped_for > STOPPED_SECONDS:
                return Hang("outside", f"stopped for {stopped_for:.1f} s (SIGSTOP or a debugger)", STOPPED_SECONDS)
            return None
        return self._overdue(sight, factor) if sight.reading is not None else None

    def _overdue(self, sight: Sight, factor: float) -> Hang | None:
        assert sight.reading is not None
        record, now = sight.reading.record, sight.now
        silent_for = self._seconds("beat", sight.reading.beat, now)
        if record.phase == "loading":
            deadline = max(LOADING_SECONDS, self._patience) * factor
            return _hang("no progress in loading", silent_for, deadline)
        if record.phase == "step" and not sight.reading.done:
            deadline = max(self._patience, SLACK * record.expected) * factor
            tokens, images = sum(one.tokens for one in record.aboard), sum(one.images for one in record.aboard)
            what = f"step {record.step} ({tokens} tokens, {images} images, expected to take {record.expected:.2f} s)"
            found = _hang(f"{what} does not end", self._seconds("step", record.started, now), deadline)
        else:
            found = _hang("no sign of life", silent_for, self._patience * factor)
        if found is None and record.decoding:
            decoding_for = self._seconds("decoding", record.decoding_since, now)
            if record.phase == "step" and not sight.reading.done:  # what is decoded meanwhile is told after the step
                decoding_for -= now - record.started
            found = _hang("an image is not decoded", decoding_for, max(DECODING_SECONDS, self._patience) * factor)
        if found is None and record.phase == "idle" and sight.aboard:
            unheard_for = self._seconds("unheard", max(sight.last_message, record.started), now)
            what = f"it has nothing to do, and {sight.aboard} requests are with it: a message was lost"
            found = _hang(what, unheard_for, max(UNHEARD_SECONDS, self._patience) * factor, "crash")
        return found

    def _seconds(self, what: str, since: float | None, now: float) -> float:
        """Seconds since `since` that the front was awake in. "stopped" is timed from the first look that shows it."""
        if since is None:
            self._marks.pop(what, None)
            return 0.0
        known = self._marks.get(what)
        if known is None or (known[1] != since and what != "stopped"):
            # What is new began after the last look, perhaps while the front slept. That time is nobody's fault.
            known = self._marks[what] = (max(since, now - AWAKE_SECONDS), since, self._asleep)
        return max(0.0, now - known[0] - (self._asleep - known[2]))


def _hang(what: str, seconds: float, deadline: float, cause: Cause = "hang") -> Hang | None:
    return Hang(cause, f"{what} after {seconds:.1f} s", deadline) if seconds > deadline else None
