"""Ten thousand schedules of deaths, and proof that the simulation finds what it is there to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from simulation import run_schedule

from upright.messages import PlainTokens, SequenceOutput
from upright.supervise import inquiry, keeper, policy, watch
from upright.supervise.inquiry import Inquiry
from upright.supervise.keeper import Keeper

SCHEDULES = 10_000
LEAST = {
    # what was done
    "crash in step": 50, "crash in idle": 50, "memory in step": 50, "outside in step": 50, "outside in loading": 50,
    "hang in step": 50, "hang in idle": 50, "hang idle in idle": 20, "stop in step": 50, "pause": 50, "slow step": 100,
    "slow start": 20, "nap": 100, "lost output": 50, "lost last output": 50, "lost submit": 50, "delay": 50,
    "late output": 100, "sick rung: start": 50, "sick rung: step": 50, "sick rung: idle": 50,
    "failed start: crash": 20, "failed start: memory": 20, "failed start: outside": 20, "failed start: hang": 20,
    "failed start: refused": 20, "drain": 100, "client leaves while served": 50, "client leaves while recovering": 50,
    "client leaves in a trial": 20,
    # what was decided
    "replay": 1000, "inquiry": 500, "split": 200, "convict": 500, "convict by elimination": 50, "step down": 200,
    "climb": 20, "relapse": 10, "give up": 20, "refuse remembered": 100, "hang kill": 500, "stopped kill": 50,
    "unheard kill": 20, "decoding kill": 20, "lost contact": 50, "expired": 100, "drained too late": 20,
    "bounded inquiry": 100,
}  # fmt: skip
MOST_WRONGED = SCHEDULES // 1000  # innocents that three deaths by chance struck in a row, while others lived


def test_no_schedule_loses_a_request() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SCHEDULES):
        seen += run_schedule(seed).seen
    rare = {what: seen[what] for what, least in LEAST.items() if seen[what] < least}
    assert not rare, f"hardly or never simulated: {rare}"
    assert seen["wronged by chance"] <= MOST_WRONGED


def test_a_schedule_can_be_replayed() -> None:
    assert run_schedule(7) == run_schedule(7)


# ---- the simulation finds bugs ---------------------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def convict_at_once(patch: Patch) -> None:
    patch.setattr(inquiry, "LEAST_DEATHS", 1)
    patch.setattr(inquiry, "sure", lambda state: state.accused)
    patch.setattr(policy, "KNOWN_GOOD_TOKENS", 0)


def blame_the_first_aboard(patch: Patch) -> None:
    original = inquiry.narrow

    def narrow(state: Inquiry, aboard: tuple[inquiry.Suspect, ...], incident: str, steps: int) -> tuple[Inquiry, str]:
        return original(replace(state, trial=state.trial[:1]), aboard[:1], incident, steps)

    patch.setattr(inquiry, "narrow", narrow)


def blame_what_is_done_from_outside(patch: Patch) -> None:
    original = policy.after_death
    patch.setattr(policy, "after_death", lambda state, death: original(state, replace(death, cause="crash")))
    patch.setattr(inquiry, "sure", lambda state: state.accused)


def keep_suspicion_after_proof(patch: Patch) -> None:
    patch.setattr(inquiry, "proven", lambda state, request_id: state)


def never_split(patch: Patch) -> None:
    patch.setattr(inquiry, "_halves", lambda names: (names,))


def in_full(outputs: list[SequenceOutput], plain: PlainTokens | None) -> list[SequenceOutput]:
    return outputs if plain is None else [*outputs, *plain.outputs()]


def take_late_outputs(patch: Patch) -> None:
    """Whatever attempt they are of."""
    original = Keeper.take

    def take(self: Keeper, outputs: list[SequenceOutput], now: float, plain: PlainTokens | None) -> None:
        current = [
            keeper.msgspec.structs.replace(one, attempt=entry.handed_over - 1)
            for one in in_full(outputs, plain)
            if (entry := self.journal.get(one.id)) is not None
        ]
        original(self, current, now)

    patch.setattr(Keeper, "take", take)


def replay_without_output(patch: Patch) -> None:
    original = Keeper._hand_over

    def hand_over(self: Keeper, entry: keeper.Entry) -> None:
        output, entry.output = entry.output, []
        try:
            original(self, entry)
        finally:
            entry.output = output

    patch.setattr(Keeper, "_hand_over", hand_over)


def never_park(patch: Patch) -> None:
    patch.setattr(policy, "may_run", lambda state, request_id: True)


def forget_to_hand_over_after_a_trial(patch: Patch) -> None:
    original = Keeper._arrange

    def arrange(self: Keeper) -> None:
        if not self._tokens:
            original(self)

    patch.setattr(Keeper, "_arrange", arrange)


def barren_never_counts(patch: Patch) -> None:
    patch.setattr(policy, "BARREN_DEATHS", 10**9)


def give_up_soon(patch: Patch) -> None:
    patch.setattr(policy, "BARREN_DEATHS", 2)


def watch_without_slack(patch: Patch) -> None:
    patch.setattr(watch, "SLACK", 0.0)


def watch_while_asleep(patch: Patch) -> None:
    patch.setattr(watch, "AWAKE_SECONDS", 1e9)


def watch_that_never_tires(patch: Patch) -> None:
    patch.setattr(watch, "SLACK", 1e9)
    patch.setattr(watch, "DECODING_SECONDS", 1e9)


def no_gap_is_noticed(patch: Patch) -> None:
    original = Keeper.take

    def take(self: Keeper, outputs: list[SequenceOutput], now: float, plain: PlainTokens | None) -> None:
        entries = [(one, self.journal.get(one.id)) for one in in_full(outputs, plain)]
        original(
            self, [keeper.msgspec.structs.replace(one, at=len(entry.output)) for one, entry in entries if entry], now
        )

    patch.setattr(Keeper, "take", take)


MUTATIONS = [
    convict_at_once, blame_the_first_aboard, blame_what_is_done_from_outside, keep_suspicion_after_proof, never_split,
    take_late_outputs, replay_without_output, never_park, forget_to_hand_over_after_a_trial, barren_never_counts,
    give_up_soon, watch_without_slack, watch_while_asleep, watch_that_never_tires, no_gap_is_noticed,
]  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_bug_is_found(mutation: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError, match="seed"):
        for seed in range(2000):
            run_schedule(seed)
