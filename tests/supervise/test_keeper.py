"""Every request is accounted for: with the engine, waiting, or ended exactly once."""

from __future__ import annotations

from typing import Any

import pytest

from upright.messages import Abort, PlainTokens, Request, SamplingParams, SequenceOutput, Submit
from upright.supervise import keeper as keeper_module
from upright.supervise.inquiry import Accused
from upright.supervise.journal import CrashesEngine, DeadlinePassed, EngineGone
from upright.supervise.keeper import PROVEN_TOKENS, EngineEnd, Keeper, LostContact, content_of
from upright.supervise.policy import KNOWN_GOOD_TOKENS, Cause, Decision, State


class Engine:
    """What was sent to it."""

    def __init__(self) -> None:
        self.messages: list[Submit | Abort] = []
        self.keeper = Keeper(State(), self.messages.append)

    def taken(self) -> list[Submit | Abort]:
        taken = self.messages[:]
        self.messages.clear()
        return taken

    def submitted(self) -> list[str]:
        return [message.request.id for message in self.taken() if isinstance(message, Submit)]


def request(name: str, prompt: tuple[int, ...] | None = None, seed: int = 0) -> Request:
    return Request(id=name, prompt=list(prompt or name.encode()), params=SamplingParams(seed=seed, max_tokens=99))


def tokens(name: str, *values: int, at: int = 0, attempt: int = 0, **more: Any) -> SequenceOutput:
    return SequenceOutput(id=name, tokens=list(values), at=at, attempt=attempt, **more)


def serving(*names: str) -> Engine:
    engine = Engine()
    for name in names:
        engine.keeper.submit(request(name), 0.0)
    engine.keeper.engine_serves(1.0)
    return engine


def end(engine: Engine, *in_step: str, cause: Cause = "crash", now: float = 2.0) -> Decision:
    return engine.keeper.engine_ended(EngineEnd(now, cause, frozenset(in_step) if in_step else None, "incident"))


def test_what_arrives_before_an_engine_serves_waits_for_it() -> None:
    engine = Engine()
    engine.keeper.submit(request("a"), 0.0)
    assert engine.taken() == []
    engine.keeper.engine_serves(1.0)
    engine.keeper.submit(request("b"), 1.0)
    assert engine.submitted() == ["a", "b"]


def test_a_replay_goes_on_where_it_was() -> None:
    engine = serving("a")
    engine.keeper.take([tokens("a", 7, 8)], 1.0)
    engine.taken()
    end(engine, cause="outside")
    assert engine.keeper.awaited == {"a"}
    engine.keeper.engine_serves(3.0)
    (message,) = engine.taken()
    assert isinstance(message, Submit)
    assert (message.request.output, message.request.attempt) == ([7, 8], 1)
    engine.keeper.take([tokens("a", 9, at=2, attempt=1, finish="stop")], 4.0)
    entry = engine.keeper.journal.get("a")
    assert entry is not None and (entry.output, entry.finish, entry.deaths) == ([7, 8, 9], "stop", 1)
    assert (engine.keeper.awaited, engine.keeper.replays, engine.keeper.recovered_tokens) == (set(), 1, 2)


def test_late_words_are_passed_over() -> None:
    engine = serving("a")
    end(engine, cause="outside")
    engine.keeper.engine_serves(3.0)
    engine.keeper.take([tokens("a", 5, attempt=0), tokens("gone", 5)], 4.0)
    entry = engine.keeper.journal.get("a")
    assert entry is not None and entry.output == []


@pytest.mark.parametrize("at", [0, 2])
def test_a_gap_is_lost_contact_and_what_was_told_before_it_counts(at: int) -> None:
    engine = serving("a", "b")
    end(engine)
    engine.keeper.engine_serves(3.0)
    engine.keeper.take([tokens("b", 1, attempt=1)], 3.0)
    with pytest.raises(LostContact, match="token"):
        engine.keeper.take([tokens("a", 1, attempt=1, finish="stop"), tokens("b", 1, at=at, attempt=1)], 4.0)
    assert engine.keeper.aboard == ("b",)
    assert set(engine.keeper.state.chains) == {"b"}, "a has ended, and is no suspect"


def test_bare_tokens_count_as_in_the_long_form() -> None:
    engine = serving("a", "b", "c")
    engine.keeper.take([tokens(name, 1, cached_tokens=0) for name in "abc"], 1.0)
    ended = tokens("c", 2, at=1, finish="stop")
    engine.keeper.take([ended], 2.0, PlainTokens(["a", "gone", "b"], [1, 7, 1], [0, 0, 0], [5, 6, 7]))
    outputs = [engine.keeper.journal.get(name).output for name in "abc"]  # type: ignore[union-attr]
    assert outputs == [[1, 5], [1, 7], [1, 2]]
    assert (engine.keeper.engine_tokens, engine.keeper.unfinished) == (6, 2)
    assert engine.keeper.journal.get("a").last_token == 2.0  # type: ignore[union-attr]


def test_bare_tokens_of_a_former_attempt_are_passed_over_and_a_gap_is_lost_contact() -> None:
    engine = serving("a", "b", "c")
    engine.keeper.take([tokens(name, 1, cached_tokens=0) for name in "abc"], 1.0)
    end(engine, cause="outside")
    engine.keeper.engine_serves(3.0)
    engine.keeper.take([], 3.5, PlainTokens(["a", "b"], [1, 1], [0, 1], [8, 9]))
    assert engine.keeper.awaited == {"a", "c"}, "who goes on is awaited no more, in whatever form it is told"
    engine.keeper.take([tokens(name, 9, at=1, attempt=1) for name in "ac"], 4.0)
    with pytest.raises(LostContact, match="token 3 of request b, whose next one is 2"):
        engine.keeper.take([], 5.0, PlainTokens(["a", "b", "c"], [2, 3, 2], [1, 1, 1], [4, 4, 4]))
    assert [engine.keeper.journal.get(name).output for name in "abc"] == [[1, 9, 4], [1, 9], [1, 9]]  # type: ignore[union-attr]


def test_who_leaves_is_aborted_and_forgotten() -> None:
    engine = serving("a", "b")
    engine.taken()
    engine.keeper.release("a")
    engine.keeper.release("a")
    engine.keeper.release("never was")
    assert engine.taken() == [Abort(["a"])]
    assert (engine.keeper.aboard, engine.keeper.unfinished) == (("b",), 1)


def test_deadlines_end_requests_wherever_they_are() -> None:
    engine = serving("a")
    engine.keeper.submit(request("b"), 1.0, timeout=5.0)
    engine.taken()
    assert engine.keeper.expire(5.9) == []
    assert engine.keeper.expire(6.0) == ["b"]
    assert engine.keeper.expire(7.0) == []
    assert engine.taken() == [Abort(["b"])]
    entry = engine.keeper.journal.get("b")
    assert entry is not None and isinstance(entry.lost, DeadlinePassed) and "5 s" in str(entry.lost)


def test_all_can_be_lost_once() -> None:
    engine = serving("a", "b")
    engine.keeper.take([tokens("a", 1, finish="stop")], 1.0)
    assert engine.keeper.lose_all(EngineGone("no more", 5)) == 1
    assert engine.keeper.lose_all(EngineGone("no more", 5)) == 0
    entry = engine.keeper.journal.get("a")
    assert entry is not None and entry.lost is None


def test_only_those_in_the_step_are_suspects() -> None:
    engine = serving("a", "b", "c")
    end(engine, "b", "left before")
    assert set(engine.keeper.state.chains) == {"b"}


def test_a_step_of_which_all_have_left_blames_nobody_who_is_there() -> None:
    engine = serving("a", "b")
    engine.keeper.release("a")
    end(engine, "a")
    assert engine.keeper.state.chains == {}
    engine.keeper.engine_serves(3.0)
    engine.keeper.submit(request("a again", (97,)), 3.0)
    end(engine, "a again", "b", now=4.0)
    assert engine.keeper.state.trial == ("a again",), "its content was there before"


def test_in_a_trial_only_its_members_are_with_the_engine() -> None:
    engine = serving("a", "b", "c")
    end(engine)
    engine.keeper.engine_serves(3.0)
    end(engine, now=4.0)
    engine.taken()
    engine.keeper.engine_serves(5.0)
    engine.keeper.submit(request("new"), 5.0)
    assert engine.submitted() == ["a", "b"]
    engine.keeper.take([tokens("a", *range(PROVEN_TOKENS), attempt=2)], 6.0)
    assert engine.taken() == [Abort(["a"])], "it has proven itself, and makes room"
    engine.keeper.take([tokens("b", 1, attempt=2, finish="stop")], 6.0)
    assert engine.submitted() == ["c"]
    engine.keeper.release("c")
    assert engine.submitted() == ["a", "new"], "the inquiry is over"


def test_the_guilty_and_its_likes_fail_and_are_refused() -> None:
    engine = serving("a", "long")
    engine.keeper.submit(request("twin", (97,), seed=5), 1.0)
    engine.keeper.take([tokens("long", *range(KNOWN_GOOD_TOKENS), finish="stop")], 1.5)
    told: list[Accused] = []
    engine.keeper.on_convicted = told.append
    for now in (2.0, 4.0, 6.0):
        decision = end(engine, "a", now=now)
        engine.keeper.engine_serves(now + 1)
    assert [one.id for one in decision.convicted] == [one.suspect.id for one in told] == ["a"]
    for name in ("a", "twin"):
        entry = engine.keeper.journal.get(name)
        assert entry is not None and isinstance(entry.lost, CrashesEngine)
    with pytest.raises(CrashesEngine, match="incident"):
        engine.keeper.submit(request("again", (97,)), 10.0)


def test_a_comparison_convicts_while_the_engine_serves() -> None:
    engine = serving("a")
    engine.keeper.submit(request("other"), 1.0)
    told: list[Accused] = []
    engine.keeper.on_convicted = told.append
    for now in (2.0, 4.0, 6.0):
        end(engine, "a", now=now)
        engine.keeper.engine_serves(now + 1)
    assert engine.keeper.aboard == ("other",), "a waits"
    entry = engine.keeper.journal.get("other")
    assert entry is not None
    for number in range(engine.keeper.state.inquiry.needed_steps):
        assert not told
        engine.keeper.take([tokens("other", 1, at=number, attempt=entry.handed_over - 1)], 8.0)
    assert [one.suspect.id for one in told] == ["a"]


def test_an_engine_that_is_replaced_blames_nobody() -> None:
    engine = serving("a")
    engine.keeper.engine_replaced()
    assert engine.keeper.state == State(served=True)
    assert not engine.keeper.serving
    entry = engine.keeper.journal.get("a")
    assert entry is not None and entry.deaths == 0


def test_who_has_left_is_not_remembered_for_ever() -> None:
    engine = serving()
    for number in range(keeper_module.RECENTLY_LEFT + 5):
        engine.keeper.submit(request(f"r{number}"), 1.0)
        engine.keeper.release(f"r{number}")
    assert len(engine.keeper._left) == keeper_module.RECENTLY_LEFT


def test_seeds_do_not_make_a_content() -> None:
    assert content_of(request("a", (1, 2), seed=1)) == content_of(request("b", (1, 2), seed=2))
    assert content_of(request("a", (1, 2))) != content_of(request("a", (1, 3)))


def test_an_engine_that_was_dead_already_speaks_against_nobody() -> None:
    """Its last words ended the request that it died with; what was sent to it meanwhile has never run."""
    engine = serving("a")
    engine.keeper.take([tokens("a", 1, finish="stop")], 1.0)
    engine.keeper.submit(request("b"), 1.5)
    end(engine, "a")
    assert engine.keeper.state.chains == {}
