"""Drawing from a distribution over tokens, whole or cut off to its likeliest tokens, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from upright.kernels.noise import gumbel

CANDIDATES = 1024  # tokens looked at first when a distribution is cut off; more only where these do not suffice


def draw_whole(scaled: Tensor, keys: Tensor) -> Tensor:
    """One token, int64 [N], from each row of `scaled` float32 [N, vocabulary]: logits divided by the temperature.

    `keys` int64 [N, 2] are the streams of noise, see `noise.stream_keys`.
    """
    every = torch.arange(scaled.shape[1], device=scaled.device)
    return (scaled + gumbel(keys, every)).argmax(dim=-1)


def draw_cut(scaled: Tensor, keys: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor) -> Tensor:
    """As `draw_whole`, from the tokens that min-p, top-k and top-p leave of each row.

    top_k int64 [N], 0 for no limit; top_p and min_p float32 [N]. Of equally likely tokens the lowest ids are kept.
    """
    vocabulary = scaled.shape[1]
    tokens, enough = _draw_among(min(CANDIDATES, vocabulary), scaled, keys, top_k, top_p, min_p)
    wider = (~enough).nonzero()[:, 0]
    if len(wider):
        tokens[wider], _ = _draw_among(vocabulary, *(part[wider] for part in (scaled, keys, top_k, top_p, min_p)))
    return tokens


def _draw_among(
    count: int, scaled: Tensor, keys: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor
) -> tuple[Tensor, Tensor]:
    """Draws, int64 [N], that look at the `count` likeliest tokens only, and whether that was enough, bool [N]."""
    values, ids = _likeliest(scaled, count)
    top_k, top_p, min_p = top_k[:, None], top_p[:, None], min_p[:, None]
    rank = torch.arange(count, device=scaled.device)[None, :]
    limited = (top_k > 0) | (min_p > 0)
    left = ((top_k == 0) | (rank < top_k)) & (values >= values[:, :1] + min_p.log())
    # top-p renormalises over what top-k and min-p left; where nothing was left out, over everything.
    among_left = values.masked_fill(~left, -torch.inf)
    norm = torch.where(limited, among_left.logsumexp(-1, keepdim=True), scaled.logsumexp(-1, keepdim=True))
    probabilities = (among_left - norm).exp()
    before = probabilities.cumsum(dim=-1) - probabilities  # mass of the likelier tokens
    kept = left & ((before < top_p) | (top_p >= 1) | (rank == 0))
    winners = (values.masked_fill(~kept, -torch.inf) + gumbel(keys, ids)).argmax(dim=-1, keepdim=True)
    # A token as likely as the last candidate may have been left out, and with it some of what is normalised over.
    enough = ~(kept & (values == values[:, -1:])).any(-1) & ~(limited & left[:, -1:])[:, 0]
    return ids.gather(1, winners)[:, 0], enough | (count == scaled.shape[1])


def _likeliest(scaled: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` greatest values of each row, [N, count], and their ids, in the order of value, then id."""
    if count == scaled.shape[1]:
        values, ids = scaled.sort(dim=-1, descending=True, stable=True)
        return values, ids
    ids = scaled.topk(count, dim=-1, sorted=False).indices.sort(dim=-1).values
    values, order = scaled.gather(1, ids).sort(dim=-1, descending=True, stable=True)
    return values, ids.gather(1, order)
