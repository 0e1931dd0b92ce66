"""Sampling as a pure function: order of operations, distributions, and independence from the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from upright.engine.sampler import SampleRow, banned_tokens, sample
from upright.kernels import random_draw
from upright.kernels.noise import stream_keys, uniform
from upright.kernels.not_finite import NOT_FINITE
from upright.messages import SamplingParams

VOCABULARY = 50


def row(output: list[int] | None = None, **params: Any) -> SampleRow:
    settled: dict[str, Any] = {"seed": 1, "max_tokens": 10, "temperature": 0.0} | params
    return SampleRow(SamplingParams(**settled), output or [])


def logits(seed: int, rows: int = 1, vocabulary: int = VOCABULARY) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * 3


def draw(values: torch.Tensor, *rows: SampleRow) -> list[int]:
    return sample(values, list(rows)).tokens.tolist()


def frequencies(values: torch.Tensor, draws: int, **params: Any) -> torch.Tensor:
    """How often each token is drawn over `draws` seeds."""
    rows = [row(**({"temperature": 1.0} | params | {"seed": seed})) for seed in range(draws)]
    tokens = sample(values.expand(draws, -1), rows).tokens
    return torch.bincount(tokens, minlength=values.shape[1]) / draws


def test_greedy_is_argmax() -> None:
    values = logits(0, 5)
    assert draw(values, *[row()] * 5) == values.argmax(-1).tolist()


def test_repetition_frequency_and_presence_count_output_only() -> None:
    values = torch.tensor([[2.0, 1.9, 1.0, -1.0]])
    assert draw(values, row([0], repetition_penalty=1.1)) == [1]  # 2 / 1.1 < 1.9
    assert draw(values, row([0], presence_penalty=0.05)) == [0]
    assert draw(values, row([0, 0, 0], frequency_penalty=0.05)) == [1]  # 2 - 0.15 < 1.9
    assert draw(values, row([0], presence_penalty=0.2)) == [1]
    assert draw(values, row([3], repetition_penalty=0.01)) == [0]  # a negative logit is multiplied: -0.01
    assert values.tolist() == [[pytest.approx(v) for v in (2.0, 1.9, 1.0, -1.0)]], "the logits were changed"


def test_penalties_apply_in_order() -> None:
    # (3 / 2) - 0.5 - 0.25 = 0.75: repetition divides first, then frequency and presence subtract
    values = torch.tensor([[3.0, 0.76, 0.0]])
    params = {"repetition_penalty": 2.0, "frequency_penalty": 0.5, "presence_penalty": 0.25}
    assert draw(values, row([0], **params)) == [1]
    assert draw(torch.tensor([[3.0, 0.74, 0.0]]), row([0], **params)) == [0]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 5))
def test_ngram_ban_is_what_its_definition_says(output: list[int], size: int) -> None:
    grams = {tuple(output[at : at + size]) for at in range(len(output) - size + 1)}
    tail = tuple(output[len(output) - size + 1 :]) if size > 1 else ()
    expected = {token for token in range(4) if (*tail, token) in grams} if len(output) >= size - 1 else set()
    assert set(banned_tokens(output, size)) == expected


def test_min_tokens_masks_every_end_token() -> None:
    values = torch.tensor([[5.0, 4.0, 3.0]])
    assert draw(values, row([], min_tokens=2, end_token_ids=(0, 1))) == [2]
    assert draw(values, row([2], min_tokens=2, end_token_ids=(0, 1))) == [2]
    assert draw(values, row([2, 2], min_tokens=2, end_token_ids=(0, 1))) == [0]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": 0.7},
        {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "min_p": 0.01},
        {"repetition_penalty": 1.2, "presence_penalty": 0.5, "no_repeat_ngram_size": 2},
        {"logprobs": 2, "min_tokens": 9, "end_token_ids": (3,)},
        {"temperature": 0.7, "logit_bias": {5: 3.0}},
    ],
)
def test_from_what_is_not_finite_nothing_is_drawn(params: dict[str, Any]) -> None:
    one = row([1, 2, 1], **params)
    values = logits(0, 6, 3000)
    expected = draw(values, *[one] * 6)
    values[1] = torch.nan
    values[2, 2999] = torch.nan
    values[3, 0] = torch.inf
    values[4] = -torch.inf
    assert draw(values, *[one] * 6) == [expected[0], *[NOT_FINITE] * 4, expected[5]]


def test_logit_bias() -> None:
    values = logits(3)
    assert draw(values, row(logit_bias={17: 100.0})) == [17]
    best = int(values.argmax())
    assert draw(values, row(logit_bias={best: -100.0})) != [best]


def test_draws_follow_the_distribution() -> None:
    values = logits(1, vocabulary=12) / 3
    for temperature in (0.5, 1.0, 2.0):
        expected = (values[0] / temperature).softmax(-1)
        assert (frequencies(values, 20_000, temperature=temperature) - expected).abs().max() < 0.015


def test_cut_distributions() -> None:
    values = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.06, 0.04]]))
    cases: list[tuple[dict[str, Any], list[float]]] = [
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_p": 0.65}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0, 0]),
        ({"top_p": 1e-6}, [1, 0, 0, 0, 0]),
        ({"min_p": 0.4}, [4 / 9, 3 / 9, 2 / 9, 0, 0]),
        ({"top_k": 3, "top_p": 0.6}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_k": 1, "top_p": 0.5, "min_p": 0.1}, [1, 0, 0, 0, 0]),
    ]
    for params, expected in cases:
        assert (frequencies(values, 6_000, **params) - torch.tensor(expected)).abs().max() < 0.03, params


def test_top_p_beyond_the_first_candidates() -> None:
    flat = torch.zeros(1, 4096)  # top-p 0.9 of a flat distribution keeps more tokens than are looked at first
    drawn = {draw(flat, row(seed=seed, temperature=1.0, top_p=0.9))[0] for seed in range(200)}
    assert len(drawn) > 150


def test_a_row_that_needs_many_candidates_sends_no_other_row_through_them(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[tuple[int, int]] = []
    likeliest = random_draw._likeliest
    monkeypatch.setattr(
        random_draw,
        "_likeliest",
        lambda scaled, count: looked_at.append((len(scaled), count)) or likeliest(scaled, count),
    )
    values = logits(0, 6, 4096)
    values[2] = 0.0
    rows = [row(seed=seed, temperature=1.0, top_p=0.5) for seed in range(6)]
    together = draw(values, *rows)
    assert looked_at == [(6, 1024), (1, 4096)]
    assert together == [draw(values[index : index + 1], one)[0] for index, one in enumerate(rows)]


def test_of_equally_likely_tokens_the_lowest_ids_are_kept() -> None:
    values = torch.full((1, 4096), -1.0)
    values[0, [9, 300, 70, 4000]] = 2.0
    drawn = {draw(values, row(seed=seed, temperature=1.0, top_k=3))[0] for seed in range(60)}
    assert drawn == {9, 70, 300}
    drawn = {draw(values, row(seed=seed, temperature=1.0, top_k=6))[0] for seed in range(300)}
    assert drawn == {9, 70, 300, 4000, 0, 1}


def test_top_p_counts_what_top_k_left_beyond_the_first_candidates() -> None:
    """Half of 3000 equal tokens, not half of the 1024 that are looked at first."""
    values = torch.zeros(1, 4096)
    drawn = [draw(values, row(seed=seed, temperature=1.0, top_k=3000, top_p=0.5))[0] for seed in range(300)]
    assert 1300 < max(drawn) < 1500


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6), st.data())
def test_a_row_does_not_depend_on_the_others(seed: int, rows: int, data: st.DataObject) -> None:
    values = logits(seed, rows, 3000)
    chosen = [
        row(
            data.draw(st.lists(st.integers(0, 40), max_size=8)),
            seed=data.draw(st.integers(0, 2**63 - 1)),
            temperature=data.draw(st.sampled_from([0.0, 0.3, 1.0, 1.7])),
            top_k=data.draw(st.sampled_from([0, 1, 5, 2000])),
            top_p=data.draw(st.sampled_from([1.0, 0.9, 0.1])),
            min_p=data.draw(st.sampled_from([0.0, 0.05])),
            frequency_penalty=data.draw(st.sampled_from([0.0, 0.5])),
            logprobs=data.draw(st.sampled_from([None, 0, 3])),
        )
        for _ in range(rows)
    ]
    together = sample(values, chosen)
    for index, one in enumerate(chosen):
        alone = sample(values[index : index + 1], [one])
        assert alone.tokens[0] == together.tokens[index]
        assert alone.logprobs[0] == together.logprobs[index]


def test_position_and_seed_change_the_draw() -> None:
    flat = torch.zeros(1, 1000)
    by_seed = [draw(flat, row(seed=seed, temperature=1.0))[0] for seed in range(50)]
    by_position = [draw(flat, row([1] * position, temperature=1.0))[0] for position in range(50)]
    assert len(set(by_seed)) > 40 and len(set(by_position)) > 40
    high = [draw(flat, row(seed=seed << 32, temperature=1.0))[0] for seed in range(50)]
    assert len(set(high)) > 40, "the upper half of the seed is ignored"


def test_logprobs_are_the_models_own() -> None:
    values = logits(5)
    result = sample(values, [row([3], temperature=0.7, logprobs=3, presence_penalty=2.0)])
    expected = values[0].log_softmax(-1)
    entry = result.logprobs[0]
    assert entry is not None
    token = int(result.tokens[0])
    assert entry.logprob == pytest.approx(float(expected[token]))
    assert entry.rank == int((expected > expected[token]).sum()) + 1
    best = expected.topk(3)
    assert [token_id for token_id, _ in entry.top] == best.indices.tolist()
    assert [value for _, value in entry.top] == pytest.approx(best.values.tolist())


def test_noise_is_uniform_and_uncorrelated() -> None:
    keys = stream_keys(torch.arange(64), torch.arange(64))
    draws = uniform(keys, torch.arange(4096)).double()
    assert float(draws.min()) > 0 and float(draws.max()) < 1
    assert abs(float(draws.mean()) - 0.5) < 0.003
    assert abs(float(draws.var()) - 1 / 12) < 0.002
    correlation = torch.corrcoef(draws)
    assert float((correlation - torch.eye(64)).abs().max()) < 0.09
    tokens = torch.corrcoef(draws[:, :64].T)
    assert float((tokens - torch.eye(64)).abs().max()) < 0.7  # 64 samples only


def test_noise_is_never_one() -> None:
    """Its Gumbel noise would be infinite: that token would win whatever its probability, or even where it is cut."""
    keys = stream_keys(torch.tensor([111]), torch.tensor([0]))
    assert float(uniform(keys, torch.tensor([55167]))) < 1  # the greatest number that the hash can give, nearly
    logits = torch.zeros(1, 151936)
    logits[0, 0] = 100.0
    row = SampleRow(SamplingParams(seed=111, max_tokens=1, temperature=1.0), [])
    assert sample(logits, [row]).tokens.tolist() == [0]
