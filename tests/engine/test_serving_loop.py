"""The loop that serves: what the front is told, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driving import Setting, greedy, make_core, random_prompt
from upright.engine import process
from upright.messages import Abort, FromEngine, StepDone, Stop, Submit, ToEngine


class Script:
    """A link whose front says `messages`, and `Stop` once the engine has nothing to do."""

    def __init__(self, core: Any, messages: list[ToEngine]) -> None:
        self._core = core
        self._messages = deque(messages)
        self.sent: list[FromEngine] = []

    def send(self, message: FromEngine) -> None:
        self.sent.append(message)

    def receive(self, wait_ms: int | None) -> ToEngine | None:
        if self._messages:
            return self._messages.popleft()
        return Stop() if wait_ms == process.BEAT_MS else None


@pytest.mark.parametrize(("seconds", "empty"), [(0.0, 4), (1e9, 0)])
def test_steps_without_tokens_are_told_now_and_then(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, seconds: float, empty: int
) -> None:
    monkeypatch.setattr(process, "GAUGES_SECONDS", seconds)
    core = make_core(tiny_checkpoint("qwen2"), Setting(max_num_batched_tokens=16, blocks=32, max_model_len=256))
    link = Script(core, [Submit(greedy("long", random_prompt(1, 80), 2))])
    process.serve(core, link)  # type: ignore[arg-type]
    told = [message for message in link.sent if isinstance(message, StepDone)]
    assert [bool(message.outputs) for message in told] == [False] * empty + [True, True]
    assert told[-1].stats.running == 0


def test_the_end_of_aborted_work_is_told(tiny_checkpoint: Callable[[str], Path]) -> None:
    core = make_core(tiny_checkpoint("qwen2"), Setting(max_num_batched_tokens=16, blocks=32, max_model_len=256))
    core.submit(greedy("gone", random_prompt(1, 80), 2))
    link = Script(core, [])

    def abort_after_a_step(wait_ms: int | None) -> ToEngine | None:
        if core.stats().steps == 1 and core.has_work:
            return Abort(["gone"])
        return Script.receive(link, wait_ms)

    link.receive = abort_after_a_step  # type: ignore[method-assign]
    process.serve(core, link)  # type: ignore[arg-type]
    (told,) = (message for message in link.sent if isinstance(message, StepDone))
    assert (told.outputs, told.stats.running, told.stats.blocks_used) == ([], 0, 0)
