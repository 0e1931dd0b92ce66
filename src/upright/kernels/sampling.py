"""Drawing one token for each row of a step on the device, without the host: the sampler inside a decode step.

The same results as `engine.sampler`, which takes what this does not serve. Parameters and outputs are rows of a
`SamplerState`, so nothing here depends on values that the host knows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from upright.kernels.compiled import serves
from upright.kernels.noise import stream_keys
from upright.kernels.not_finite import NOT_FINITE
from upright.kernels.random_draw import draw_cut, draw_whole
from upright.kernels.sampler_state import MOST_ENDS, Flag, SamplerState, SlotFill, Word, served_on_device

__all__ = ["SamplerState", "SlotFill", "draw", "draw_reference", "served_on_device"]


def draw(logits: Tensor, state: SamplerState, slots: Tensor, positions: Tensor, drawn: Tensor, tokens: Tensor) -> None:
    """Draw a token for each of N rows, and append it to the history of the row's slot.

    logits [N, vocabulary], float32, float16 or bfloat16, rows contiguous: penalties and bans may be applied in place,
    but never to rows that have none. slots int32 [N], no slot twice but for the dummy's; positions int32 [N]: the
    index in its sequence of the token that the logits follow. Written: drawn int64 [slots + 1] at `slots`, and tokens
    int64 [N]. For a row whose greatest logit is not finite, tokens has NOT_FINITE, and drawn any token; where only some
    of its logits are NaN, the kernels draw from the others and the reference does not.

    With Triton's kernels the draw can be captured in a CUDA graph. A row's token does not depend on the others. An
    output that has filled `history` is no longer appended to.
    """
    if serves(logits):
        from upright.kernels.triton import sampling

        sampling.draw(logits, state, slots, positions, drawn, tokens)
        return
    draw_reference(logits, state, slots, positions, drawn, tokens)


def draw_reference(
    logits: Tensor, state: SamplerState, slots: Tensor, positions: Tensor, drawn: Tensor, tokens: Tensor
) -> None:
    """The same, row by row. It waits for the device, and leaves the logits as they are."""
    places = slots.long()
    words = state.words[places].tolist()
    floats = state.words.view(torch.float32)[places].tolist()
    lengths = [position + 1 - row[Word.PROMPT_LENGTH] for position, row in zip(positions.tolist(), words, strict=True)]
    for index, (slot, length) in enumerate(zip(slots.tolist(), lengths, strict=True)):
        history = state.history[slot]
        values = _adjusted(logits[index].float(), words[index], floats[index], history[: max(length, 0)].long())
        token = _drawn(values, words[index], floats[index], length)
        tokens[index] = torch.where(values.max().isfinite(), token, NOT_FINITE)
        drawn[slot] = token
        if 0 <= length < len(history):
            history[length] = token


def _adjusted(logits: Tensor, words: list[int], floats: list[float], output: Tensor) -> Tensor:
    """Logits float32 [vocabulary] after bans and penalties. output int64 [L]."""
    flags = words[Word.FLAGS]
    if not flags & (Flag.PENALTIES | Flag.NGRAMS | Flag.FEWEST):
        return logits
    logits, length = logits.clone(), len(output)
    size = words[Word.NGRAM_SIZE]
    if flags & Flag.NGRAMS and length >= size:
        grams = output.unfold(0, size, 1)  # [L - size + 1, size]
        repeats = (grams[:, :-1] == output[length - size + 1 :]).all(dim=1)
        logits[grams[repeats, -1]] = -torch.inf
    if flags & Flag.FEWEST and length < words[Word.MIN_TOKENS]:
        logits[[end for end in words[Word.ENDS : Word.ENDS + MOST_ENDS] if end >= 0]] = -torch.inf
    if flags & Flag.PENALTIES and length:
        ids, counts = torch.unique(output, return_counts=True)
        values, repetition = logits[ids], floats[Word.REPETITION]
        values = torch.where(values > 0, values / repetition, values * repetition)
        logits[ids] = values - floats[Word.FREQUENCY] * counts - floats[Word.PRESENCE]
    return logits


def _drawn(logits: Tensor, words: list[int], floats: list[float], length: int) -> Tensor:
    """One token, int64 [], of logits float32 [vocabulary]."""
    flags = words[Word.FLAGS]
    if not flags & Flag.DRAWS:
        return logits.argmax()
    device = logits.device
    scaled = (logits / torch.tensor(floats[Word.TEMPERATURE], device=device))[None]
    seed = (words[Word.SEED_LOW] & 0xFFFFFFFF) | (words[Word.SEED_HIGH] << 32)
    keys = stream_keys(torch.tensor([seed], device=device), torch.tensor([length], device=device))
    if not flags & Flag.CUTS:
        return draw_whole(scaled, keys)[0]
    top_k = torch.tensor([words[Word.TOP_K]], device=device)
    top_p, min_p = (torch.tensor([floats[word]], device=device) for word in (Word.TOP_P, Word.MIN_P))
    return draw_cut(scaled, keys, top_k, top_p, min_p)[0]
