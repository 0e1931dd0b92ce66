"""A hang is found in time, and work is never taken for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from upright.engine.black_box import Reading, Record
from upright.supervise.watch import (
    DECODING_SECONDS,
    LOADING_SECONDS,
    SLACK,
    STOPPED_SECONDS,
    UNHEARD_SECONDS,
    Hang,
    Sight,
    Watch,
)

PATIENCE = 2.0
See = Callable[[float], Sight]


def step(expected: float = 0.1, started: float = 0.0, done: bool = False) -> Reading:
    return Reading(Record("step", 5, started, expected), done, started)


def idle(now: float, since: float = 0.0) -> Reading:
    return Reading(Record("idle", 5, since, 0.0), False, now)


def found_at(see: See, until: float = 2000.0, factor: float = 1.0, every: float = 0.2) -> tuple[float, Hang] | None:
    """When somebody who looks all the time finds something."""
    watch, now = Watch(PATIENCE), 0.0
    while now < until:
        if (hang := watch.look(see(now), factor)) is not None:
            return now, hang
        now += every
    return None


def sight(now: float, reading: Reading | None, stopped: bool = False, aboard: int = 1, heard: float = 0.0) -> Sight:
    return Sight(now, reading, stopped, aboard, heard)


@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(
    ("see", "deadline", "cause"),
    [
        (lambda now: sight(now, step()), PATIENCE, "hang"),
        (lambda now: sight(now, step(expected=3.0)), SLACK * 3.0, "hang"),
        (lambda now: sight(now, step(done=True)), PATIENCE, "hang"),
        (lambda now: sight(now, Reading(Record("idle", 5, 0.0, 0.0), False, 0.0), aboard=0), PATIENCE, "hang"),
        (lambda now: sight(now, Reading(Record("loading", 0, 0.0, 0.0), False, 0.0)), LOADING_SECONDS, "hang"),
        (lambda now: sight(now, idle(now)), UNHEARD_SECONDS, "crash"),
        (
            lambda now: sight(now, Reading(Record("decoding", 5, 0.0, 0.0, (), ("a",), 0.0), False, now)),
            DECODING_SECONDS,
            "hang",
        ),
    ],
    ids=["step", "long step", "between steps", "idle", "loading", "unheard", "decoding"],
)
def test_each_hang_has_its_deadline(see: See, deadline: float, cause: str, factor: float) -> None:
    found = found_at(see, factor=factor, until=4 * LOADING_SECONDS + 10)
    assert found is not None
    assert deadline * factor <= found[0] <= deadline * factor + 0.5
    assert (found[1].cause, found[1].deadline) == (cause, deadline * factor)


@pytest.mark.parametrize(
    "see",
    [
        lambda now: sight(now, step(started=now - now % 1.5)),
        lambda now: sight(now, step(expected=30.0, started=now - now % 149)),
        lambda now: sight(now, idle(now), aboard=0),
        lambda now: sight(now, idle(now), heard=now - 1),
        lambda now: sight(now, Reading(Record("loading", 0, 0.0, 0.0), False, now - now % 500)),
        lambda now: sight(now, None),
        lambda now: sight(now, Reading(Record("decoding", 5, 0.0, 0.0, (), ("a",), now - now % 50), False, now)),
    ],
    ids=["steps", "slow steps", "nothing to do", "messages come", "slow start", "standby", "decoding"],
)
def test_work_is_no_hang(see: See) -> None:
    assert found_at(see) is None


def test_a_stopped_process_gets_a_moment() -> None:
    found = found_at(lambda now: sight(now, step(), stopped=True))
    assert found is not None and STOPPED_SECONDS < found[0] <= STOPPED_SECONDS + 0.5
    assert found[1].cause == "outside"
    assert found_at(lambda now: sight(now, idle(now), stopped=now % 4 < 1.9, aboard=0)) is None


@pytest.mark.parametrize("begun", [0.5, 10.0, 90.0], ids=["before", "in", "near the end of"])
def test_a_front_that_slept_blames_nobody(begun: float) -> None:
    """It looked last at 1.0, and wakes at 100.0: of a step that began meanwhile it has seen nothing yet."""
    watch = Watch(PATIENCE)
    for now in (0.2, 0.4, 0.6, 0.8, 1.0):
        assert watch.look(sight(now, step(started=min(begun, now)))) is None
    found = None
    now = 100.0
    while found is None:
        found = watch.look(sight(now, step(started=begun)))
        now += 0.2
    assert 100.4 <= now <= 100.0 + PATIENCE + 0.5


def test_unread_messages_are_not_lost_ones() -> None:
    """The front slept while the engine finished: what it sent is not read yet."""
    watch = Watch(PATIENCE)
    assert watch.look(sight(1.0, step(started=0.9), heard=0.9)) is None
    assert watch.look(sight(60.0, idle(60.0, since=2.0), heard=0.9)) is None


def test_an_image_that_is_decoded_meanwhile_is_told_after_the_step() -> None:
    long_step = Record("step", 5, 1.0, 100.0, (), ("a",), 0.0)
    assert found_at(lambda now: sight(now, Reading(long_step, False, 1.0)), until=400.0) is None
    undecoded = Record("step", 9, 100.0, 100.0, (), ("a",), 0.0)
    assert found_at(lambda now: sight(now + 101.0, Reading(undecoded, False, 100.0)), until=1.0) is None
