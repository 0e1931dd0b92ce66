"""How long a step should take, learnt from the steps before it: what tells slow from stuck.

There is no machine's speed in here. Finished steps are sorted by the octave of their work, and each octave remembers
its slowest recent step. A step of a size that was not seen yet is expected by the nearest smaller one: small steps
stream the weights for little arithmetic, so time per FLOP falls with size, and theirs is a generous bound for every
larger one. A larger step that was seen is a bound as well.
"""

from __future__ import annotations

import math

KEPT = 0.99  # of an octave's slowest time, after each quicker step in it: one stall is half forgotten after 70 steps


class Pace:
    def __init__(self) -> None:
        self._slowest: dict[int, float] = {}  # octave of the work → seconds of the slowest recent step

    def learn(self, work: float, seconds: float) -> None:
        """A step of `work` FLOP took `seconds`."""
        octave = _octave(work)
        self._slowest[octave] = max(seconds, KEPT * self._slowest.get(octave, 0.0))

    def expected(self, work: float) -> float:
        """Seconds that a step of `work` FLOP should take: an upper bound, monotonic in `work`; 0.0 before any step.

        It is too high by the width of an octave at least, and by far more while sizes like this are new.
        """
        octave = _octave(work)
        below = above = None  # the nearest octaves on either side that were seen
        slowest = 0.0  # a step is never expected to be quicker than a smaller one
        for seen, seconds in self._slowest.items():
            if seen <= octave:
                slowest = max(slowest, seconds)
                below = seen if below is None else max(below, seen)
            else:
                above = seen if above is None else min(above, seen)
        bounds = []
        if below is not None:
            bounds.append(self._slowest[below] * 2.0 ** (octave - below))
        if above is not None and below != octave:
            bounds.append(self._slowest[above])
        return 2 * max(slowest, min(bounds, default=0.0))  # twice: a step at an octave's start may stand for its end


def _octave(work: float) -> int:
    return math.frexp(work)[1]
