"""The sampler of decode steps draws what `engine.sampler` draws: in plain torch, and in Triton's kernels."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.triton_device import DEVICE, DTYPES, triton_only
from upright.engine.sampler import SampleRow, sample
from upright.kernels import compiled
from upright.kernels.not_finite import NOT_FINITE
from upright.kernels.sampler_state import LIST, first_counts, repeats_by_lag
from upright.kernels.sampling import SamplerState, SlotFill, draw, served_on_device
from upright.messages import SamplingParams

ROOM = 64  # tokens of the longest output
SLOTS = 6
DRAWS = 40  # that show every token which is kept


@pytest.fixture(params=["torch", pytest.param("triton", marks=triton_only)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    monkeypatch.setattr(compiled, "SERVED", {DEVICE} if request.param == "triton" else set())
    return torch.device(DEVICE if request.param == "triton" else "cpu")


def params(**changed: Any) -> SamplingParams:
    settled: dict[str, Any] = {"seed": 1, "max_tokens": 1000, "temperature": 0.0} | changed
    return SamplingParams(**settled)


def some_params(chance: random.Random) -> SamplingParams:
    return params(
        seed=chance.choice([0, 7, 2**40 + 5, 2**63 - 1]),
        temperature=chance.choice([0.0, 1e-6, 0.4, 1.0, 2.5]),
        top_k=chance.choice([0, 0, 1, 2, 20, 40, 10**10]),
        top_p=chance.choice([1.0, 1.0, 0.95, 0.5, 1e-9]),
        min_p=chance.choice([0.0, 0.0, 0.02, 0.5, 1.0]),
        repetition_penalty=chance.choice([1.0, 1.0, 1.3, 0.8]),
        presence_penalty=chance.choice([0.0, 0.0, 1.0, -0.5]),
        frequency_penalty=chance.choice([0.0, 0.0, 0.05, -0.2]),
        no_repeat_ngram_size=chance.choice([0, 0, 1, 2, 3, 100, 10**12]),
        min_tokens=chance.choice([0, 3, 30]),
        end_token_ids=tuple(chance.sample(range(40), chance.choice([0, 1, 8]))),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"temperature": 1.0, "top_k": 3, "top_p": 0.5, "min_p": 0.1},
        {"temperature": 0.7},
        {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "min_p": 0.01},
        {"repetition_penalty": 1.2, "presence_penalty": 0.5, "no_repeat_ngram_size": 2},
        {"temperature": 0.7, "top_p": 0.9, "frequency_penalty": 0.5, "min_tokens": 9, "end_token_ids": (3,)},
    ],
)
def test_from_what_is_not_finite_nothing_is_drawn(
    device: torch.device, dtype: torch.dtype, changed: dict[str, Any]
) -> None:
    state = SamplerState.allocate(SLOTS, ROOM, device)
    state.fill([SlotFill(slot, params(**changed), 4, (1, 2, 1)) for slot in range(SLOTS)])
    logits = torch.randn(SLOTS, 3000, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    slots = torch.arange(SLOTS, dtype=torch.int32, device=device)
    positions = torch.full((SLOTS,), 6, dtype=torch.int32, device=device)

    def drawn_from(values: Tensor) -> tuple[list[int], list[int]]:
        drawn = torch.full((SLOTS + 1,), -7, device=device)
        tokens = torch.full((SLOTS,), -7, device=device)
        draw(values.clone(), state, slots, positions, drawn, tokens)
        return tokens.tolist(), drawn[:SLOTS].tolist()

    expected, _ = drawn_from(logits)
    logits[1] = torch.nan
    logits[2, 2999] = torch.inf
    logits[3] = -torch.inf
    logits[4, 5:7] = torch.nan
    tokens, drawn = drawn_from(logits)
    partly = tokens.pop(4)
    assert tokens == [expected[0], NOT_FINITE, NOT_FINITE, NOT_FINITE, expected[5]]
    assert partly in (NOT_FINITE, expected[4])  # the kernels draw from what is finite
    assert all(0 <= token < 3000 for token in drawn)  # the next step may read it before anybody has looked


class Sequences:
    """What the host knows of the sequences that own slots."""

    def __init__(self, state: SamplerState, fills: list[SlotFill]) -> None:
        self.state = state
        self.of = {fill.slot: fill for fill in fills}
        self.output = {fill.slot: list(fill.output) for fill in fills}
        self.drawn = torch.full((len(state.words),), -1, device=state.words.device)
        state.fill(fills)

    def step(self, logits: Tensor, slots: list[int], padding: int = 0) -> tuple[list[int], list[int]]:
        """Draw for `slots` and rows of the dummy: the tokens drawn, and those that the reference draws."""
        device, dummy = logits.device, len(self.state.words) - 1
        expected = sample(
            logits[: len(slots)].float().cpu(), [SampleRow(self.of[slot].params, self.output[slot]) for slot in slots]
        ).tokens.tolist()
        positions = [self.of[slot].prompt_length + len(self.output[slot]) - 1 for slot in slots]
        tokens = torch.full((len(logits),), -1, device=device)
        draw(
            logits,
            self.state,
            torch.tensor(slots + [dummy] * padding, dtype=torch.int32, device=device),
            torch.tensor(positions + [0] * padding, dtype=torch.int32, device=device),
            self.drawn,
            tokens,
        )
        drawn = tokens[: len(slots)].tolist()
        kept = self.drawn[slots].tolist()
        assert kept == [max(token, 0) for token in drawn]  # where every token of a small vocabulary is banned
        for slot, token in zip(slots, kept, strict=True):
            self.output[slot].append(token)
            length = len(self.output[slot])
            assert self.state.history[slot, :length].tolist() == self.output[slot]
        return drawn, expected


def one(device: torch.device, settings: SamplingParams, output: list[int], logits: Tensor) -> tuple[int, int]:
    """The token of a single sequence, and the reference's."""
    state = SamplerState.allocate(1, max(ROOM, len(output) + 1), device)
    drawn, expected = Sequences(state, [SlotFill(0, settings, 5, output)]).step(logits.clone()[None].to(device), [0])
    return drawn[0], expected[0]


@pytest.mark.parametrize("seed", range(9))
def test_sequences_draw_as_in_the_reference(seed: int, device: torch.device) -> None:
    """In any order and company, from any recovered output, with few tokens, so that all of them repeat themselves."""
    chance, noise = random.Random(seed), torch.Generator().manual_seed(seed)
    dtype = DTYPES[seed % len(DTYPES)]
    vocabulary = chance.choice([3, 41, 50]) if seed % 2 else 1500
    state = SamplerState.allocate(SLOTS, ROOM, device)
    for _ in range(2):  # slots are used again
        fills = [
            SlotFill(slot, some(chance, vocabulary), chance.randrange(1, 9), tokens(chance, vocabulary))
            for slot in range(SLOTS)
        ]
        sequences = Sequences(state, fills)
        for _ in range(6):
            slots = chance.sample(range(SLOTS), chance.randrange(1, SLOTS + 1))
            padding = chance.randrange(3)
            logits = (torch.randn(len(slots) + padding, vocabulary, generator=noise) * 3).to(dtype)
            drawn, expected = sequences.step(logits.to(device), slots, padding)
            assert drawn == expected


def some(chance: random.Random, vocabulary: int) -> SamplingParams:
    while True:
        found = some_params(chance)
        if all(end < vocabulary for end in found.end_token_ids):
            return found


def tokens(chance: random.Random, vocabulary: int) -> list[int]:
    few = chance.choice([1, 2, min(40, vocabulary)])
    return [chance.randrange(few) for _ in range(chance.choice([0, 0, 1, 5, 40]))]


CUTS: list[dict[str, Any]] = [  # none of which falls just between two of equally likely tokens
    {"top_k": 20},
    {"top_k": 20, "top_p": 0.83},
    {"top_k": LIST + 100},
    {"top_k": LIST + 100, "top_p": 0.9},
    {"top_p": 0.30013},
    {"top_p": 0.99013},
    {"min_p": 0.1},
    {"min_p": 0.01, "top_p": 0.703, "top_k": 300},
]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("spread", [0.0, 0.02, 3.0], ids=["flat", "nearly flat", "peaked"])
def test_cuts_of_a_large_vocabulary(cut: dict[str, Any], spread: float, device: torch.device) -> None:
    """With equal logits at the boundaries, and more tokens that matter than are copied apart; penalties among them."""
    noise = torch.Generator().manual_seed(0)
    state = SamplerState.allocate(SLOTS, ROOM, device)
    penalised = {"frequency_penalty": 0.3, "repetition_penalty": 1.1}
    fills = [
        SlotFill(slot, params(seed=slot, temperature=0.7, **cut, **(penalised if slot % 2 else {})), 3, [9, 9, 4000, 1])
        for slot in range(SLOTS)
    ]
    sequences = Sequences(state, fills)
    for dtype in (torch.bfloat16, torch.float32):
        logits = (torch.randn(SLOTS, 5000, generator=noise) * spread).to(dtype)
        drawn, expected = sequences.step(logits.to(device), list(range(SLOTS)))
        assert drawn == expected


def test_what_is_kept_is_exact(device: torch.device) -> None:
    """Over many seeds exactly the tokens are drawn that the cuts leave, the lowest ids of equals."""
    state = SamplerState.allocate(DRAWS, ROOM, device)
    values = torch.full((300,), -50.0)
    values[[7, 20, 100, 101, 250]] = torch.log(torch.tensor([0.2, 0.4, 0.1, 0.1, 0.2]))
    for cut, kept in [
        ({"top_k": 2}, {20, 7}),
        ({"top_k": 3}, {20, 7, 250}),
        ({"top_k": 4}, {20, 7, 250, 100}),
        ({"top_p": 0.5}, {20, 7}),
        ({"top_p": 0.7}, {20, 7, 250}),
        ({"top_p": 0.85}, {20, 7, 250, 100}),
        ({"min_p": 0.4}, {20, 7, 250}),
        ({"top_k": 3, "top_p": 0.74}, {20, 7}),
    ]:
        fills = [SlotFill(slot, params(seed=slot, temperature=1.0, **cut), 1) for slot in range(DRAWS)]
        drawn, _ = Sequences(state, fills).step(values.expand(DRAWS, -1).clone().to(device), list(range(DRAWS)))
        assert set(drawn) == kept, cut


def test_of_equals_the_first_is_the_likeliest(device: torch.device) -> None:
    values = torch.zeros(5000)
    assert one(device, params(), [], values) == (0, 0)
    values[[4999, 1025, 3000]] = 2.0
    assert one(device, params(), [], values) == (1025, 1025)
    assert one(device, params(presence_penalty=2.0), [1025], values) == (3000, 3000)
    values[2000] = 3.0  # a penalty makes it equal to tokens before and after it
    assert one(device, params(presence_penalty=1.0), [2000], values) == (1025, 1025)
    values[1025] = 1.0
    assert one(device, params(presence_penalty=1.0), [2000], values) == (2000, 2000)


def test_penalties_are_not_rounded_to_the_logits_dtype(device: torch.device) -> None:
    values = torch.tensor([20.0, 20.0, 19.875, 0.0], dtype=torch.bfloat16)  # 0.125 is the step between neighbours
    assert one(device, params(frequency_penalty=0.01), [0], values) == (1, 1)
    assert one(device, params(frequency_penalty=0.01), [0, 1, 1], values) == (0, 0)


def test_rows_without_bans_and_penalties_keep_their_logits(device: torch.device) -> None:
    """As rows need whose tokens are drawn by the host."""
    state = SamplerState.allocate(3, ROOM, device)
    settings = [
        params(logprobs=2, presence_penalty=1.0),
        params(temperature=1.0, top_p=0.5),
        params(logit_bias={1: 2.0}, no_repeat_ngram_size=1),
    ]
    values = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).to(device)
    before = values.clone()
    fills = [SlotFill(slot, each, 4, [1, 2, 3]) for slot, each in enumerate(settings)]
    Sequences(state, fills).step(values, [0, 1, 2])
    assert torch.equal(values, before)


def test_what_the_host_draws() -> None:
    assert served_on_device(params()) is None
    assert served_on_device(params(min_tokens=1, end_token_ids=tuple(range(8)))) is None
    assert served_on_device(params(end_token_ids=tuple(range(20)))) is None
    assert "log prob" in str(served_on_device(params(logprobs=0)))
    assert "bias" in str(served_on_device(params(logit_bias={3: 1.0})))
    assert "more than 8" in str(served_on_device(params(min_tokens=1, end_token_ids=tuple(range(9)))))


def test_an_output_that_fills_its_room_is_still_drawn(device: torch.device) -> None:
    state = SamplerState.allocate(1, 4, device)
    sequences = Sequences(state, [SlotFill(0, params(no_repeat_ngram_size=2, presence_penalty=0.1), 2, [1, 2, 1])])
    values = torch.randn(1, 50, generator=torch.Generator().manual_seed(0)).to(device)
    sequences.step(values.clone(), [0])
    before = [table.clone() for table in (state.history, state.counts, state.repeats)]
    tokens = torch.zeros(1, dtype=torch.int64, device=device)
    at = torch.tensor([5], dtype=torch.int32, device=device)
    draw(values, state, torch.zeros(1, dtype=torch.int32, device=device), at, sequences.drawn, tokens)
    assert all(torch.equal(*pair) for pair in zip(before, (state.history, state.counts, state.repeats), strict=True))


def test_too_much_output_is_refused() -> None:
    state = SamplerState.allocate(2, 4, torch.device("cpu"))
    with pytest.raises(ValueError, match="slot 1 is given 5 output tokens, and has room for 4"):
        state.fill([SlotFill(1, params(), 1, [1] * 5)])


@pytest.mark.parametrize("few", [1, 2, 5])
def test_what_is_known_of_an_output(few: int) -> None:
    chance = random.Random(few)
    output = [chance.randrange(few) for _ in range(30)]
    counts = first_counts(np.array(output, dtype=np.int32))
    assert counts.tolist() == [0 if token in output[:at] else output.count(token) for at, token in enumerate(output)]
    for most in (0, 4, 100):
        repeats = repeats_by_lag(np.array(output, dtype=np.int32), most)
        assert repeats[1:].tolist() == [repeated(output, lag, most) for lag in range(1, 30)]


def repeated(output: list[int], lag: int, most: int) -> int:
    same = 0
    while same < min(most, len(output) - lag) and output[-1 - same] == output[-1 - same - lag]:
        same += 1
    return same


@pytest.mark.parametrize("device", [pytest.param("triton", marks=triton_only)], indirect=True)
def test_what_kernels_know_of_an_output_is_what_a_replay_finds(device: torch.device) -> None:
    chance = random.Random(0)
    settings = params(no_repeat_ngram_size=100, presence_penalty=0.1)
    state = SamplerState.allocate(2, ROOM, device)
    sequences = Sequences(state, [SlotFill(0, settings, 3), SlotFill(1, settings, 3, [1, 0, 1])])
    for _ in range(25):
        logits = torch.full((2, 10), -10.0)
        for row in logits:
            row[chance.randrange(2)] = 10.0
        sequences.step(logits.to(device), [0, 1])
    for slot, output in sequences.output.items():
        known = np.array(output, dtype=np.int32)
        assert state.counts[slot, : len(output)].tolist() == first_counts(known).tolist()
        assert state.repeats[slot, 1 : len(output)].tolist() == repeats_by_lag(known, 100)[1:].tolist()


def test_the_state_takes_what_it_says(device: torch.device) -> None:
    state = SamplerState.allocate(5, 100, device)
    tensors: Callable[[], list[Tensor]] = lambda: list(vars(state).values())  # noqa: E731
    assert SamplerState.bytes(5, 100) == sum(tensor.nbytes for tensor in tensors())
