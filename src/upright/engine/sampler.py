"""Sampling: a pure function of (logits, parameters, output ids, seed, position).

Order, as is usual in the field: float32; n-gram ban, minimum length and bias; repetition, then frequency and presence
penalties; greedy argmax, or temperature, min-p, top-k, top-p and a draw. Every penalty counts *output* tokens only. A
row's result never depends on the other rows, so a sequence draws the same tokens alone, in a batch and after a
preemption. Of equally likely tokens the one with the lowest id comes first.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass

import torch
from torch import Tensor

from upright.kernels.noise import stream_keys
from upright.kernels.not_finite import NOT_FINITE
from upright.kernels.random_draw import draw_cut, draw_whole
from upright.messages import GREEDY_BELOW, SamplingParams, TokenLogprobs


@dataclass(frozen=True)
class SampleRow:
    """One sequence that draws a token. `output` is what it has drawn so far; its length is the position."""

    params: SamplingParams
    output: Rows[int]


@dataclass(frozen=True)
class Draw:
    tokens: Tensor  # int64 [N]; NOT_FINITE for a row whose greatest logit is not finite
    logprobs: list[TokenLogprobs | None]  # one per row


def sample(logits: Tensor, rows: Rows[SampleRow]) -> Draw:
    """Draw one token for each row. logits: float32 [N, vocabulary]; they are not changed."""
    raw = logits
    if any(_is_adjusted(row) for row in rows):
        logits = logits.clone()
        for index, row in enumerate(rows):
            if _is_adjusted(row):
                _adjust(logits[index], row)
    tokens = logits.argmax(dim=-1)  # of a row with NaN, a place that has it
    finite = logits.gather(1, tokens[:, None])[:, 0].isfinite()
    drawing = [index for index, row in enumerate(rows) if row.params.temperature >= GREEDY_BELOW]
    if drawing:
        chosen = logits if len(drawing) == len(rows) else logits[drawing]
        tokens[drawing] = _draw(chosen, [rows[index] for index in drawing])
    return Draw(torch.where(finite, tokens, NOT_FINITE), _logprobs(raw, tokens, rows))


# ---- what changes a row's logits -------------------------------------------------------------------------------------


def _is_adjusted(row: SampleRow) -> bool:
    params = row.params
    return bool(
        params.logit_bias
        or (params.end_token_ids and len(row.output) < params.min_tokens)
        or (
            row.output
            and (
                params.repetition_penalty != 1.0
                or params.presence_penalty != 0.0
                or params.frequency_penalty != 0.0
                or 0 < params.no_repeat_ngram_size <= len(row.output)
            )
        )
    )


def _adjust(logits: Tensor, row: SampleRow) -> None:
    """Apply bans, bias and penalties in place. logits: float32 [vocabulary]."""
    params, device = row.params, logits.device
    banned = banned_tokens(row.output, params.no_repeat_ngram_size)
    if len(row.output) < params.min_tokens:
        banned = banned + list(params.end_token_ids)
    if banned:
        logits[torch.tensor(banned, device=device)] = -torch.inf
    if params.logit_bias:
        ids = torch.tensor(list(params.logit_bias), device=device)
        logits[ids] += torch.tensor(list(params.logit_bias.values()), dtype=torch.float32, device=device)
    if row.output and (params.repetition_penalty != 1.0 or params.presence_penalty or params.frequency_penalty):
        ids, counts = torch.unique(torch.tensor(row.output, device=device), return_counts=True)
        values = logits[ids]
        values = torch.where(values > 0, values / params.repetition_penalty, values * params.repetition_penalty)
        logits[ids] = values - params.frequency_penalty * counts - params.presence_penalty


def banned_tokens(output: Rows[int], size: int) -> list[int]:
    """Tokens that would complete an n-gram of `size` that `output` holds already."""
    if size <= 0 or len(output) < size:
        return []
    if size == 1:
        return list(set(output))
    output = list(output)
    tail = output[len(output) - size + 1 :]
    first = tail[0]
    return [
        output[at + size - 1]
        for at in range(len(output) - size + 1)
        if output[at] == first and output[at : at + size - 1] == tail
    ]


# ---- the draw --------------------------------------------------------------------------------------------------------


def _draw(logits: Tensor, rows: list[SampleRow]) -> Tensor:
    """Draw by Gumbel noise from each row's cut-off distribution. logits: float32 [N, vocabulary]; int64 [N]."""
    device = logits.device

    def floats(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    def integers(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    scaled = logits / floats([row.params.temperature for row in rows])[:, None]
    keys = stream_keys(integers([row.params.seed for row in rows]), integers([len(row.output) for row in rows]))
    cut = [_cuts(row.params) for row in rows]
    tokens = torch.empty(len(rows), dtype=torch.int64, device=device)
    whole = [index for index, cuts in enumerate(cut) if not cuts]
    if whole:
        tokens[whole] = draw_whole(scaled[whole], keys[whole])
    partial = [index for index, cuts in enumerate(cut) if cuts]
    if partial:
        params = [rows[index].params for index in partial]
        tokens[partial] = draw_cut(
            scaled[partial],
            keys[partial],
            integers([p.top_k for p in params]),
            floats([p.top_p for p in params]),
            floats([p.min_p for p in params]),
        )
    return tokens


def _cuts(params: SamplingParams) -> bool:
    return params.top_k > 0 or params.top_p < 1.0 or params.min_p > 0.0


# ---- log probabilities -----------------------------------------------------------------------------------------------


def _logprobs(logits: Tensor, tokens: Tensor, rows: Rows[SampleRow]) -> list[TokenLogprobs | None]:
    """Of the model's own distribution, before bans, penalties and temperature, for the rows that ask for them."""
    result: list[TokenLogprobs | None] = [None] * len(rows)
    for index, row in enumerate(rows):
        wanted = row.params.logprobs
        if wanted is not None:
            values = logits[index].log_softmax(dim=-1)
            chosen = values[tokens[index]]
            rank = int((values > chosen).sum()) + 1
            top_values, top_ids = values.topk(min(wanted, values.shape[0]))
            result[index] = TokenLogprobs(
                logprob=float(chosen), rank=rank, top=list(zip(top_ids.tolist(), top_values.tolist(), strict=True))
            )
    return result
