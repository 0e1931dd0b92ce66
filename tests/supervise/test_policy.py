"""What follows from a death, rule by rule."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.supervise import inquiry, policy
from upright.supervise.inquiry import Suspect
from upright.supervise.policy import Cause, Death, Decision, FailedStart, RungTraits, State

LADDER = (RungTraits("full"), RungTraits("safer"), RungTraits("small", relieves_memory=True), RungTraits("last"))
SERVED_LONG = policy.KNOWN_GOOD_TOKENS


def suspects(names: Iterable[str]) -> tuple[Suspect, ...]:
    return tuple(Suspect(name, name.encode()) for name in names)


def death(*aboard: str, cause: Cause = "crash", now: float = 0.0, tokens: int = 0, age: float = 1.0, others: int = 0,
          steps: int = 0) -> Death:  # fmt: skip
    return Death(now, cause, suspects(aboard), tokens, age, "incident", others, steps)


def find(count: int, guilty: Collection[str], state: State | None = None) -> tuple[State, set[str], int]:
    """Let engines meet `count` requests, of which some are guilty, until all the rest have lived."""
    state = state if state is not None else State(ladder=LADDER)
    waiting = [f"r{n}" for n in range(count)]
    convicted: set[str] = set()
    deaths, tokens = 0, SERVED_LONG  # the first engine has served for long
    while waiting:
        aboard = [name for name in waiting if policy.may_run(state, name)]
        assert aboard, "nobody may run"
        if any(name in guilty for name in aboard):
            deaths += 1
            assert deaths < 1000
            state, decision = policy.after_death(state, death(*aboard, tokens=tokens))
            assert decision.delay is not None, decision.why
            found = {one.id for one in decision.convicted}
        else:
            found = set()
            for name in aboard:
                state, accused = policy.after_proof(state, name, 0.0)
                found |= {one.suspect.id for one in accused}
                if not state.inquiry.open:
                    waiting.remove(name)
            state, accused = policy.after_comparison(state, 0.0) if state.inquiry.open else (state, ())
            found |= {one.suspect.id for one in accused}
        tokens = 10
        convicted |= found
        waiting = [name for name in waiting if name not in found]
    return state, convicted, deaths


# ---- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "guilty", "most"),
    [(64, {"r0"}, 8), (64, {"r63"}, 8), (1, {"r0"}, 3), (2, {"r1"}, 3), (3, {"r2"}, 4),
     (64, {"r0", "r63"}, 16), (64, {"r5", "r6", "r40"}, 23)],
)  # fmt: skip
def test_the_guilty_are_found_by_halves(count: int, guilty: set[str], most: int) -> None:
    state, convicted, deaths = find(count, guilty)
    assert convicted == guilty
    assert deaths <= most
    assert state.rung == 0, "the rung is innocent"
    assert not state.inquiry.open


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 128).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=3))))
def test_whoever_is_guilty_is_found_and_nobody_else(case: tuple[int, set[int]]) -> None:
    count, numbers = case
    guilty = {f"r{n}" for n in numbers}
    _, convicted, deaths = find(count, guilty)
    assert convicted == guilty
    # Every level of halves costs each culprit one death at most; of several, each dies alone once more.
    halvings, culprits = math.ceil(math.log2(count)), len(guilty)
    most = 0 if not guilty else 2 + halvings if culprits == 1 else 2 + culprits * (halvings + 1)
    assert deaths <= max(3 if guilty else 0, most)


def test_a_first_death_blames_nobody() -> None:
    state, decision = policy.after_death(State(), death("a", "b"))
    assert decision == Decision(0.0, (), ("what was aboard is replayed: 2 requests",))
    assert policy.may_run(state, "a") and policy.may_run(state, "new")


def test_who_has_proven_itself_is_no_suspect() -> None:
    state, _ = policy.after_death(State(), death("a", "b"))
    state, _ = policy.after_proof(state, "a", 0.0)
    state, _ = policy.after_death(state, death("a", "b"))
    assert state.trial == ("b",)


def test_who_gets_further_is_no_suspect() -> None:
    state, _ = policy.after_death(State(), Death(0.0, "crash", (Suspect("a", b"a", 3),), 3, 1.0, "i"))
    state, _ = policy.after_death(state, Death(0.0, "crash", (Suspect("a", b"a", 4),), 1, 1.0, "i"))
    assert not state.trial


def test_nobody_is_convicted_while_nobody_else_has_lived() -> None:
    state = State(ladder=LADDER)
    for _ in range(3):
        state, decision = policy.after_death(state, death("a", others=1))
        assert not decision.convicted
    assert not policy.may_run(state, "a") and policy.may_run(state, "other")
    state, accused = policy.after_comparison(state, 0.0)
    assert [one.suspect.id for one in accused] == ["a"]


def test_with_nobody_to_compare_a_safer_rung_is_tried_first() -> None:
    state = State(ladder=LADDER[:2])
    for _ in range(3):
        state, decision = policy.after_death(state, death("a"))
    assert (state.rung, decision.convicted, state.trial) == (1, (), ("a",))
    state, decision = policy.after_death(state, death("a"))
    assert [one.id for one in decision.convicted] == ["a"]


def test_a_death_of_strangers_speaks_for_the_accused() -> None:
    state = State(ladder=LADDER)
    for _ in range(3):
        state, _ = policy.after_death(state, death("a", others=1))
    state, decision = policy.after_death(state, death("b", others=1))
    assert state.rung == 1
    assert not decision.convicted and not state.inquiry.open


def test_who_leaves_and_comes_back_is_remembered() -> None:
    state, _ = policy.after_death(State(), death("a", "b"))
    state, _ = policy.after_departure(state, Suspect("a", b"same"), 0.0)
    again = Death(1.0, "crash", (Suspect("a2", b"same"), Suspect("c", b"c")), 0, 1.0, "i")
    state, _ = policy.after_death(state, again)
    assert state.trial == ("a2",)


def test_a_content_is_remembered_for_a_while() -> None:
    state, _, _ = find(4, {"r2"})
    poison = policy.poison_of(state, b"r2", 1.0)
    assert poison is not None and poison.incident == "incident"
    assert policy.poison_of(state, b"r2", policy.POISON_SECONDS + 1) is None
    assert policy.poison_of(state, b"r1", 1.0) is None


def test_what_comes_from_outside_blames_nobody() -> None:
    state = State(ladder=LADDER)
    for number in range(20):
        state, decision = policy.after_death(state, death("a", "b", cause="outside", tokens=5, now=number))
        assert decision.delay == 0.0
    assert (state.chains, state.rung, state.strikes) == ({}, 0, ())


# ---- rungs -----------------------------------------------------------------------------------------------------------


def strike(state: State, times: int, cause: Cause = "crash", now: float = 0.0, tokens: int = 1) -> State:
    for number in range(times):
        state, _ = policy.after_death(state, death(f"r{number}", cause=cause, now=now + number, tokens=tokens))
    return state


def test_deaths_that_no_request_explains_lead_down() -> None:
    assert strike(State(ladder=LADDER), 2).rung == 0
    assert strike(State(ladder=LADDER), 3).rung == 1


def test_a_lack_of_memory_leads_to_a_rung_that_needs_less() -> None:
    assert strike(State(ladder=LADDER), 3, "memory").rung == 2
    assert strike(State(ladder=LADDER, rung=2), 3, "memory").rung == 3


def test_strikes_are_forgotten() -> None:
    state = strike(State(ladder=LADDER), 2)
    assert strike(state, 1, now=policy.STRIKE_SECONDS + 10).rung == 0


def test_a_rung_on_which_everybody_dies_is_left() -> None:
    state, deaths = State(ladder=LADDER), 0
    while state.rung == 0:
        aboard = [f"r{n}" for n in range(64) if policy.may_run(state, f"r{n}")]
        state, decision = policy.after_death(state, death(*aboard))
        deaths += 1
        assert not decision.convicted
    assert deaths <= 2 + 2 + 4
    assert not state.inquiry.open


def test_a_rung_that_holds_is_left_upwards() -> None:
    state = strike(State(ladder=LADDER), 3)
    assert policy.climb(state, policy.PROOF_SECONDS - 1, idle=True) is state
    busy = policy.climb(state, policy.PROOF_SECONDS + 10, idle=False)
    assert busy is state, "while there is work it waits for twice the time"
    higher = policy.climb(state, policy.PROOF_SECONDS + 10, idle=True)
    assert (higher.rung, higher.climbing) == (0, True)


@pytest.mark.parametrize("at_start", [True, False])
def test_a_relapse_leads_down_at_once_and_doubles_the_time(at_start: bool) -> None:
    state = policy.climb(strike(State(ladder=LADDER), 3), 2000.0, idle=True)
    if at_start:
        state, _ = policy.after_failed_start(state, FailedStart(2001.0, "crash", "exit code 1"))
    else:
        state, _ = policy.after_death(state, death("a", now=2001.0))
    assert (state.rung, state.relapses) == (1, 1)
    assert policy.climb(state, 2001.0 + 1.5 * policy.PROOF_SECONDS, idle=True) is state
    assert policy.climb(state, 2001.0 + 2 * policy.PROOF_SECONDS, idle=True).rung == 0


# ---- starts, and giving up -------------------------------------------------------------------------------------------

STILLBORN = FailedStart(0.0, "crash", "exit code 1")


def test_starts_that_fail_lead_down_and_end() -> None:
    state, delays = State(ladder=LADDER[:2]), []
    rungs = []
    while True:
        state, decision = policy.after_failed_start(state, STILLBORN)
        rungs.append(state.rung)
        if decision.delay is None:
            break
        delays.append(decision.delay)
    assert rungs == [0, 1, 1, 1, 1]
    assert min(delays) > 0
    assert "exit code 1" in decision.why[-1]


def test_a_start_that_lacks_memory_takes_no_rung_that_needs_as_much() -> None:
    lacking = replace(STILLBORN, cause="memory")
    for first, expected in (0, [0, 2, 2, 2, 2]), (2, [2, 2, 2]):  # only the third needs less than the one before it
        state, rungs, decision = State(ladder=LADDER, rung=first), [], Decision(0.0)
        while decision.delay is not None:
            state, decision = policy.after_failed_start(state, lacking)
            rungs.append(state.rung)
        assert rungs == expected


def test_an_engine_that_has_served_is_tried_for_longer() -> None:
    state, count = policy.after_start(State()), 0
    decision = Decision(0.0)
    while decision.delay is not None:
        state, decision = policy.after_failed_start(state, STILLBORN)
        count += 1
    assert count == policy.SERVED_TRIES


def test_a_refusal_is_final_unless_it_served_before_or_lacks_memory() -> None:
    refused = FailedStart(0.0, "crash", "exit code 1", "no GPU; use --device cpu")
    final = Decision(None, (), ("no GPU; use --device cpu",), misconfigured=True)
    assert policy.after_failed_start(State(), refused)[1] == final
    for state, failed in (policy.after_start(State()), refused), (State(), replace(refused, cause="memory")):
        decision = policy.after_failed_start(state, failed)[1]
        assert decision.delay is not None and not decision.misconfigured


def test_engines_that_do_nothing_end_it() -> None:
    state, decision = State(), Decision(0.0)
    deaths = 0
    while decision.delay is not None:
        state, decision = policy.after_death(state, death(now=deaths))
        deaths += 1
    assert deaths == policy.BARREN_DEATHS
    assert "safest" in decision.why[-1]


def test_engines_that_do_something_never_end_it() -> None:
    state = State()
    for number in range(200):
        state, decision = policy.after_death(state, death(f"r{number}", tokens=1, now=number))
        assert decision.delay == 0.0


@pytest.mark.parametrize("starting", [True, False])
def test_being_killed_again_and_again_ends_it(starting: bool) -> None:
    state, decision, count = State(ladder=LADDER), Decision(0.0), 0
    while decision.delay is not None:
        if starting:
            state, decision = policy.after_failed_start(state, FailedStart(0.0, "outside", "SIGKILL"))
        else:
            state, decision = policy.after_death(state, death("a", cause="outside"))
        count += 1
        assert decision.delay is None or decision.delay <= policy.LONGEST_DELAY
    assert count == policy.OUTSIDE_DEATHS


@pytest.mark.parametrize("rungs", [1, 2, 4])
def test_a_sick_server_does_not_convict_one_after_the_other(rungs: int) -> None:
    state, decision, wronged = State(ladder=LADDER[:rungs]), Decision(0.0), 0
    number = deaths = 0
    while decision.delay is not None:
        state, decision = policy.after_death(state, death(f"r{number}", now=deaths))
        wronged += len(decision.convicted)
        number += bool(decision.convicted)
        deaths += 1
        assert deaths < 20
    assert wronged <= 3, "only the first ones, of which nobody can tell"


def test_hangs_buy_more_time() -> None:
    state = State(ladder=LADDER)
    assert state.patience == 1.0
    for factor in (2.0, 4.0, 4.0):
        state, _ = policy.after_death(state, death(cause="hang", tokens=1))
        assert state.patience == factor


def test_an_inquiry_knows_who_may_run() -> None:
    state, _ = policy.after_death(State(), death("a", "b"))
    state, _ = policy.after_death(state, death("a", "b"))
    assert (state.trial, state.untried) == (("a",), (("b",),))
    assert not policy.may_run(state, "b") and not policy.may_run(state, "new")
    state, _ = policy.after_departure(state, Suspect("a", b"a"), 0.0)
    assert state.trial == ("b",)
    state, _ = policy.after_proof(state, "b", 0.0)
    assert state.inquiry == inquiry.Inquiry(absent=state.inquiry.absent)


def test_a_request_that_dies_in_every_configuration_leaves_the_fastest_one_in_place() -> None:
    """With nobody to compare it with, safer rungs are tried; when none of them helps, none of them was at fault."""
    state = State(ladder=tuple(RungTraits(name) for name in ("full", "small", "portable")), served=True)
    rungs = []
    for count in range(20):
        lone = (Suspect("lone", b"lone"),)
        state, decision = policy.after_death(state, Death(float(count), "crash", lone, 0, 1.0, f"incident-{count}"))
        rungs.append(state.rung)
        if decision.convicted:
            break
    assert decision.convicted
    assert rungs == [0, 0, 1, 2, 0]
