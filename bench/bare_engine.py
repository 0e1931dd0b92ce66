"""The engine's process without what it does only so that its death can be healed and explained; for healing_cost.py.

The recorder gets no black box, which it takes as "write nothing", and no step is weighed or timed. The rest is the real
engine. Started by bare_front.py in place of `python -m upright.engine`.
"""

from __future__ import annotations

from upright.engine import core, process
from upright.engine.pace import Pace
from upright.engine.recorder import Recorder


class NoPace(Pace):
    def learn(self, work: float, seconds: float) -> None:
        pass

    def expected(self, work: float) -> float:
        return 0.0


class NoWork:
    def __init__(self, *_: object) -> None:
        pass

    def of(self, step: object) -> int:
        return 0


if __name__ == "__main__":
    from upright.engine import warm_up

    process.Recorder = lambda black_box: Recorder(None)  # type: ignore[assignment,misc]
    core.StepWork = NoWork  # type: ignore[assignment,misc]
    core.Pace = warm_up.Pace = NoPace  # type: ignore[misc]
    process.main()
