"""Drawing tokens: three kernels, of which the first and the last work on a row, and the second on a part of it.

`_prepare` changes the logits of rows with bans and penalties, and finds where cuts fall; it leaves other rows at once.
`_draw` finds the best token of a part of a row, `_finish` the best of the parts, which it appends to the history.

Logits of 16 bits cannot hold a penalised value. It is kept as float32 in a list beside the row (`adjusted`, at the
token's first position in the history), and the row itself has -inf there; everything that reads a row reads both.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from upright.kernels.not_finite import NOT_FINITE
from upright.kernels.sampler_state import LIST, SamplerState
from upright.kernels.triton.sampler_cuts import cut
from upright.kernels.triton.sampler_noise import gumbel, stream_keys
from upright.kernels.triton.sampler_words import (
    CUTS,
    DRAWS,
    ENDS,
    FEWEST,
    FLAGS,
    FREQUENCY,
    INFINITY,
    LOG2_E,
    MIN_TOKENS,
    MOST,
    MOST_ENDS,
    NGRAM_SIZE,
    NGRAMS,
    PENALTIES,
    PREPARED,
    PRESENCE,
    PROMPT_LENGTH,
    REPETITION,
    TEMPERATURE,
    WORDS,
    float_word,
)

_PROGRAMS = 8 * 132  # that a large GPU runs at once
_BLOCK = 1024
_MOST_PARTS = 256
_ANY = ["slots", "positions"]  # of any alignment: nothing is to be compiled anew for a view while the engine serves
_NOT_FINITE = tl.constexpr(NOT_FINITE)


def draw(logits: Tensor, state: SamplerState, slots: Tensor, positions: Tensor, drawn: Tensor, tokens: Tensor) -> None:
    """See `kernels.sampling.draw`."""
    rows, vocabulary = logits.shape
    if rows == 0:
        return
    if logits.stride(1) != 1:
        raise ValueError(f"rows of logits must be contiguous, but their stride is {logits.stride(1)}")
    room = state.history.shape[1]
    parts = max(1, min(triton.cdiv(vocabulary, _BLOCK), _PROGRAMS // rows, _MOST_PARTS))
    best_values = torch.empty(rows, parts, dtype=torch.float32, device=logits.device)
    best_tokens = torch.empty(rows, parts, dtype=torch.int32, device=logits.device)
    _prepare[(rows,)](
        logits, logits.stride(0), vocabulary, slots, positions, state.words,
        state.history, state.counts, state.repeats, state.adjusted, room,
        state.listed_values, state.listed_tokens, state.least_kept, state.last_kept,
        BLOCK=4096, LIST=LIST, num_warps=16, num_stages=1,
        enable_fp_fusion=False,  # a penalised logit is rounded as torch rounds it, which decides between equals
    )  # fmt: skip
    _draw[(rows, parts)](
        logits, logits.stride(0), vocabulary, slots, positions, state.words,
        state.history, state.adjusted, room, state.least_kept, state.last_kept, best_values, best_tokens,
        BLOCK=_BLOCK, num_warps=4,
    )  # fmt: skip
    _finish[(rows,)](
        slots, positions, state.words, state.history, state.counts, state.repeats, room,
        best_values, best_tokens, parts, drawn, tokens,
        PARTS=_MOST_PARTS, BLOCK=1024, num_warps=4,
    )  # fmt: skip


@triton.jit
def _output_length(positions, row, words, room):
    """Tokens that the row's sequence has drawn before this one."""
    return tl.minimum(tl.load(positions + row) + 1 - tl.load(words + PROMPT_LENGTH), room)


# ---- bans, penalties and cuts ----------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=_ANY)
def _prepare(
    logits, stride, vocabulary, slots, positions, words, history, counts, repeats, adjusted, room,
    listed_values, listed_tokens, least_kept, last_kept, BLOCK: tl.constexpr, LIST: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    words += slot * WORDS
    flags = tl.load(words + FLAGS)
    if (flags & PREPARED) == 0:
        return
    logits += row * stride
    history += slot * room
    adjusted += slot * room
    length = _output_length(positions, row, words, room)
    if (flags & (NGRAMS | FEWEST)) != 0:
        _ban(logits, vocabulary, words, flags, history, repeats + slot * room, length, BLOCK)
        tl.debug_barrier()  # penalties read what bans have written
    listed = 0
    if (flags & PENALTIES) != 0:
        _penalise(logits, words, history, counts + slot * room, adjusted, length, BLOCK)
        listed = tl.maximum(length, 0)
        tl.debug_barrier()
    if (flags & CUTS) != 0:
        cut(
            logits, vocabulary, words, adjusted, history, listed, listed_values + slot * LIST,
            listed_tokens + slot * LIST, least_kept + slot, last_kept + slot, BLOCK, LIST,
        )  # fmt: skip


@triton.jit
def _ban(logits, vocabulary, words, flags, history, repeats, length, BLOCK: tl.constexpr):
    if (flags & NGRAMS) != 0:
        needed = tl.load(words + NGRAM_SIZE) - 1
        for at in range(1, length + 1, BLOCK):
            lag = at + tl.arange(0, BLOCK)
            # What stood before the whole output is nothing, and equals only the end of no length.
            repeat = tl.load(repeats + lag, mask=lag < length, other=0)
            banned = (lag <= length) & (repeat >= needed)
            token = tl.load(history + length - lag, mask=banned, other=0)
            tl.store(logits + token, tl.full([BLOCK], -INFINITY, tl.float32), mask=banned)
    if (flags & FEWEST) != 0:
        end = tl.load(words + ENDS + tl.arange(0, MOST_ENDS))
        banned = (end >= 0) & (end < vocabulary) & (length < tl.load(words + MIN_TOKENS))
        tl.store(logits + end, tl.full([MOST_ENDS], -INFINITY, tl.float32), mask=banned)


@triton.jit
def _penalise(logits, words, history, counts, adjusted, length, BLOCK: tl.constexpr):
    repetition = float_word(words, REPETITION)
    presence = float_word(words, PRESENCE)
    frequency = float_word(words, FREQUENCY)
    for at in range(0, length, BLOCK):
        place = at + tl.arange(0, BLOCK)
        count = tl.load(counts + place, mask=place < length, other=0)
        first = count > 0  # each token is met once, so no other thread reads or writes its logit
        token = tl.load(history + place, mask=first, other=0)
        value = tl.load(logits + token, mask=first, other=-INFINITY).to(tl.float32)
        value = tl.where(value > 0, tl.div_rn(value, repetition), value * repetition)
        value = value - frequency * count.to(tl.float32) - presence
        tl.store(adjusted + place, tl.where(first, value, -INFINITY), mask=place < length)
        tl.store(logits + token, tl.full([BLOCK], -INFINITY, tl.float32), mask=first)


# ---- the draw --------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=_ANY)
def _draw(
    logits, stride, vocabulary, slots, positions, words, history, adjusted, room, least_kept, last_kept,
    best_values, best_tokens, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    parts = tl.num_programs(1)
    slot = tl.load(slots + row).to(tl.int64)
    words += slot * WORDS
    flags = tl.load(words + FLAGS)
    logits += row * stride
    history += slot * room
    adjusted += slot * room
    length = _output_length(positions, row, words, room)
    listed = tl.where((flags & PENALTIES) != 0, length, 0)
    if (flags & DRAWS) == 0:
        value, token = _likeliest(logits, vocabulary, history, adjusted, listed, part, parts, BLOCK)
    else:
        first_key, second_key = stream_keys(words, length)
        scale = LOG2_E / float_word(words, TEMPERATURE)
        cuts = (flags & CUTS) != 0
        least = tl.load(least_kept + slot)
        last = tl.load(last_kept + slot)
        value, token = _luckiest(
            logits, vocabulary, history, adjusted, listed, part, parts,
            first_key, second_key, scale, cuts, least, last, BLOCK,
        )  # fmt: skip
    tl.store(best_values + row * parts + part, value)
    tl.store(best_tokens + row * parts + part, token)


@triton.jit
def _likeliest(logits, vocabulary, history, adjusted, listed, part, parts, BLOCK: tl.constexpr):
    """The greatest logit of a part of a row, and its token."""
    lane = tl.arange(0, BLOCK)
    best = tl.full([BLOCK], -INFINITY, tl.float32)
    winner = tl.zeros([BLOCK], tl.int32)
    for at in range(2 * part * BLOCK, vocabulary, 2 * parts * BLOCK):
        token = at + lane
        after = token + BLOCK
        value = tl.load(logits + token, mask=token < vocabulary, other=-INFINITY)
        value_after = tl.load(logits + after, mask=after < vocabulary, other=-INFINITY)  # two loads under way
        best, winner = _greater(best, winner, value.to(tl.float32), token)
        best, winner = _greater(best, winner, value_after.to(tl.float32), after)
    for at in range(part * BLOCK, listed, parts * BLOCK):
        token = tl.load(history + at + lane, mask=at + lane < listed, other=0)
        value = tl.load(adjusted + at + lane, mask=at + lane < listed, other=-INFINITY)
        best, winner = _greater_or_lower(best, winner, value, token)
    return _best(best, winner)


@triton.jit
def _luckiest(
    logits, vocabulary, history, adjusted, listed, part, parts, first_key, second_key, scale, cuts, least, last,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The greatest sum of scaled logit and noise in a part of a row, of tokens up to the cut, and its token."""
    lane = tl.arange(0, BLOCK)
    best = tl.full([BLOCK], -INFINITY, tl.float32)
    winner = tl.zeros([BLOCK], tl.int32)
    for at in range(part * BLOCK, vocabulary, parts * BLOCK):
        token = at + lane
        value = tl.load(logits + token, mask=token < vocabulary, other=-INFINITY).to(tl.float32)
        score = value * scale + gumbel(first_key, second_key, token)
        if cuts:
            score = tl.where((value > least) | ((value == least) & (token <= last)), score, -INFINITY)
        best, winner = _greater(best, winner, score, token)
    for at in range(part * BLOCK, listed, parts * BLOCK):
        token = tl.load(history + at + lane, mask=at + lane < listed, other=0)
        value = tl.load(adjusted + at + lane, mask=at + lane < listed, other=-INFINITY)
        score = value * scale + gumbel(first_key, second_key, token)
        if cuts:
            score = tl.where((value > least) | ((value == least) & (token <= last)), score, -INFINITY)
        best, winner = _greater_or_lower(best, winner, score, token)
    return _best(best, winner)


@triton.jit
def _greater(best, winner, value, token):
    """Lane by lane the greater value: never NaN, and of equals the one that was there first."""
    better = value > best
    return tl.where(better, value, best), tl.where(better, token, winner)


@triton.jit
def _greater_or_lower(best, winner, value, token):
    """The same for tokens in any order: of equals the lower one."""
    better = (value > best) | ((value == best) & (token < winner))
    return tl.where(better, value, best), tl.where(better, token, winner)


@triton.jit
def _best(values, tokens):
    """The greatest value, and the lowest of the tokens that have it."""
    greatest = tl.max(values)
    return greatest, tl.min(tl.where(values == greatest, tokens, MOST))


# ---- the winner ------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=[*_ANY, "tokens", "parts"])
def _finish(
    slots, positions, words, history, counts, repeats, room, best_values, best_tokens, parts, drawn, tokens,
    PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    words += slot * WORDS
    history += slot * room
    counts += slot * room
    repeats += slot * room
    flags = tl.load(words + FLAGS)
    length = _output_length(positions, row, words, room)
    part = tl.arange(0, PARTS)
    value = tl.load(best_values + row * parts + part, mask=part < parts, other=-INFINITY)
    candidate = tl.load(best_tokens + row * parts + part, mask=part < parts, other=MOST)
    greatest, token = _best(value, candidate)  # NaN is never the greatest
    tl.store(tokens + row, tl.where(tl.abs(greatest) < INFINITY, token, _NOT_FINITE).to(tl.int64))
    tl.store(drawn + slot, token.to(tl.int64))
    if (length < 0) | (length >= room):
        return
    tl.store(history + length, token)
    if (flags & (PENALTIES | NGRAMS)) == 0:
        return
    first = tl.full([BLOCK], MOST, tl.int32)
    for at in range(0, length, BLOCK):
        place = at + tl.arange(0, BLOCK)
        inside = place < length
        same = inside & (tl.load(history + place, mask=inside, other=-1) == token)
        first = tl.minimum(first, tl.where(same, place, MOST))
        # At a lag that stays, the end that repeats itself has grown by one or begins anew.
        lag = length - place
        repeat = tl.load(repeats + lag, mask=inside & (place > 0), other=0)
        tl.store(repeats + lag, tl.where(same, repeat + 1, 0), mask=inside)
    earlier = tl.min(first)
    tl.store(counts + length, (earlier == MOST).to(tl.int32))
    if earlier != MOST:
        tl.store(counts + earlier, tl.load(counts + earlier) + 1)
