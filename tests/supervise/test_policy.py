"""What to do when an engine ends."""

from __future__ import annotations

from upright.supervise.policy import START_TRIES, Death, GiveUp, History, Restart, after_death

KILLED = Death(served=True, exit="killed by SIGKILL")
STILLBORN = Death(served=False, exit="exit code 1")


def test_a_death_under_load_restarts_at_once_however_often() -> None:
    history = History()
    for _ in range(1000):
        history, action = after_death(history, KILLED)
        assert action == Restart(0.0)


def test_deaths_at_start_back_off_and_are_bounded() -> None:
    history, delays = History(), []
    for _ in range(START_TRIES - 1):
        history, action = after_death(history, STILLBORN)
        assert isinstance(action, Restart)
        delays.append(action.delay)
    assert delays == sorted(set(delays))
    assert delays[0] > 0
    history, action = after_death(history, STILLBORN)
    assert isinstance(action, GiveUp)
    assert str(START_TRIES) in action.reason
    assert "exit code 1" in action.reason


def test_an_engine_that_served_clears_the_count() -> None:
    history, _ = after_death(History(), STILLBORN)
    history, _ = after_death(history, KILLED)
    assert history == History()


def test_a_refusal_is_not_tried_again() -> None:
    _, action = after_death(History(), Death(served=False, exit="exit code 1", refused="no GPU; use --device cpu"))
    assert action == GiveUp("no GPU; use --device cpu")
