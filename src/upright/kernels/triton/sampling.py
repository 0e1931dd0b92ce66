"""Drawing tokens: three kernels, of which the first and the last work on a row, and the second on a part of it.

`_prepare` changes the logits of rows with bans and penalties, and finds where cuts fall; it leaves other rows at once.
`_draw` finds the best token of a part of a row, `_finish` the best of the parts, which it appends to the history.

Logits of 16 bits cannot hold a penalised value. It is kept as float32 in a list beside the row (`adjusted`, at the
token's first position in the history), and the row itself has -inf there; everything that reads a row reads both.
"""

from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra import libdevice

from upright.kernels.not_finite import NOT_FINITE
from upright.kernels.sampler_state import LIST, MOST_ENDS, WORDS, Flag, SamplerState, Word

_PROGRAMS = 8 * 132  # that a large GPU runs at once
_BLOCK = 1024
_MOST_PARTS = 256
_ANY = [
    "slots",
    "positions",
]  # views of any alignment, for which nothing is to be compiled anew while the engine serves

_WORDS = tl.constexpr(WORDS)
_MOST_ENDS = tl.constexpr(MOST_ENDS)
_FLAGS = tl.constexpr(int(Word.FLAGS))
_PROMPT_LENGTH = tl.constexpr(int(Word.PROMPT_LENGTH))
_SEED_LOW = tl.constexpr(int(Word.SEED_LOW))
_SEED_HIGH = tl.constexpr(int(Word.SEED_HIGH))
_TOP_K = tl.constexpr(int(Word.TOP_K))
_NGRAM_SIZE = tl.constexpr(int(Word.NGRAM_SIZE))
_MIN_TOKENS = tl.constexpr(int(Word.MIN_TOKENS))
_TEMPERATURE = tl.constexpr(int(Word.TEMPERATURE))
_TOP_P = tl.constexpr(int(Word.TOP_P))
_MIN_P = tl.constexpr(int(Word.MIN_P))
_REPETITION = tl.constexpr(int(Word.REPETITION))
_PRESENCE = tl.constexpr(int(Word.PRESENCE))
_FREQUENCY = tl.constexpr(int(Word.FREQUENCY))
_ENDS = tl.constexpr(int(Word.ENDS))
_DRAWS = tl.constexpr(int(Flag.DRAWS))
_CUTS = tl.constexpr(int(Flag.CUTS))
_PENALTIES = tl.constexpr(int(Flag.PENALTIES))
_NGRAMS = tl.constexpr(int(Flag.NGRAMS))
_FEWEST = tl.constexpr(int(Flag.FEWEST))
_PREPARED = tl.constexpr(int(Flag.CUTS | Flag.PENALTIES | Flag.NGRAMS | Flag.FEWEST))

_MOST = tl.constexpr(2**31 - 1)
_NOT_FINITE = tl.constexpr(NOT_FINITE)
_INFINITY = tl.constexpr(float("inf"))
_HIDDEN = tl.constexpr(40.0)  # a token whose logarithm is so far under the greatest neither weighs nor wins anything
_LOG2_E = tl.constexpr(1.4426950408889634)
_LOG_2 = tl.constexpr(0.6931471805599453)
_INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


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
def _float(words, word: tl.constexpr):
    return tl.load(words + word).to(tl.float32, bitcast=True)


@triton.jit
def _output_length(positions, row, words, room):
    """Tokens that the row's sequence has drawn before this one."""
    return tl.minimum(tl.load(positions + row) + 1 - tl.load(words + _PROMPT_LENGTH), room)


# ---- bans, penalties and cuts ----------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=_ANY)
def _prepare(
    logits, stride, vocabulary, slots, positions, words, history, counts, repeats, adjusted, room,
    listed_values, listed_tokens, least_kept, last_kept, BLOCK: tl.constexpr, LIST: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    words += slot * _WORDS
    flags = tl.load(words + _FLAGS)
    if (flags & _PREPARED) == 0:
        return
    logits += row * stride
    history += slot * room
    adjusted += slot * room
    length = _output_length(positions, row, words, room)
    if (flags & (_NGRAMS | _FEWEST)) != 0:
        _ban(logits, vocabulary, words, flags, history, repeats + slot * room, length, BLOCK)
        tl.debug_barrier()  # penalties read what bans have written
    listed = 0
    if (flags & _PENALTIES) != 0:
        _penalise(logits, words, history, counts + slot * room, adjusted, length, BLOCK)
        listed = tl.maximum(length, 0)
        tl.debug_barrier()
    if (flags & _CUTS) != 0:
        _cut(
            logits, vocabulary, words, adjusted, history, listed, listed_values + slot * LIST,
            listed_tokens + slot * LIST, least_kept + slot, last_kept + slot, BLOCK, LIST,
        )  # fmt: skip


@triton.jit
def _ban(logits, vocabulary, words, flags, history, repeats, length, BLOCK: tl.constexpr):
    if (flags & _NGRAMS) != 0:
        needed = tl.load(words + _NGRAM_SIZE) - 1
        for at in range(1, length + 1, BLOCK):
            lag = at + tl.arange(0, BLOCK)
            # What stood before the whole output is nothing, and equals only the end of no length.
            repeat = tl.load(repeats + lag, mask=lag < length, other=0)
            banned = (lag <= length) & (repeat >= needed)
            token = tl.load(history + length - lag, mask=banned, other=0)
            tl.store(logits + token, tl.full([BLOCK], -_INFINITY, tl.float32), mask=banned)
    if (flags & _FEWEST) != 0:
        end = tl.load(words + _ENDS + tl.arange(0, _MOST_ENDS))
        banned = (end >= 0) & (end < vocabulary) & (length < tl.load(words + _MIN_TOKENS))
        tl.store(logits + end, tl.full([_MOST_ENDS], -_INFINITY, tl.float32), mask=banned)


@triton.jit
def _penalise(logits, words, history, counts, adjusted, length, BLOCK: tl.constexpr):
    repetition = _float(words, _REPETITION)
    presence = _float(words, _PRESENCE)
    frequency = _float(words, _FREQUENCY)
    for at in range(0, length, BLOCK):
        place = at + tl.arange(0, BLOCK)
        count = tl.load(counts + place, mask=place < length, other=0)
        first = count > 0  # each token is met once, so no other thread reads or writes its logit
        token = tl.load(history + place, mask=first, other=0)
        value = tl.load(logits + token, mask=first, other=-_INFINITY).to(tl.float32)
        value = tl.where(value > 0, tl.div_rn(value, repetition), value * repetition)
        value = value - frequency * count.to(tl.float32) - presence
        tl.store(adjusted + place, tl.where(first, value, -_INFINITY), mask=place < length)
        tl.store(logits + token, tl.full([BLOCK], -_INFINITY, tl.float32), mask=first)


# ---- where a distribution is cut off ---------------------------------------------------------------------------------
# Tokens in the order of logit, then id, are kept up to a boundary: a logit, and an id among those with that logit. It
# is found by bisection, in passes over the row, or over a copy of its likeliest tokens once those are few.


@triton.jit
def _cut(
    logits, vocabulary, words, adjusted, history, listed, listed_values, listed_tokens, least_kept, last_kept,
    BLOCK: tl.constexpr, LIST: tl.constexpr,
):  # fmt: skip
    temperature = _float(words, _TEMPERATURE)
    scale = _LOG2_E / temperature
    top_k = tl.load(words + _TOP_K)
    top_p = _float(words, _TOP_P)
    dense = vocabulary  # tokens to look at in `logits`; the others are the `listed` ones in `values` and `tokens`
    values = adjusted
    tokens = history
    _, _, _, top = _survey(logits, dense, values, listed, _INFINITY, 0.0, scale, BLOCK)
    floor = tl.maximum(top - _HIDDEN * temperature, top + temperature * tl.log(_float(words, _MIN_P)))
    at_least, mass, low, _ = _survey(logits, dense, values, listed, floor, top, scale, BLOCK)
    counted = (top_k > 0) & (top_k < at_least)
    if counted | (top_p < 1.0):
        most = tl.where(counted, top_k, _MOST)
        most_mass = tl.where(top_p < 1.0, top_p * mass, _INFINITY)
        low, at_least, _, _ = _search(
            logits, dense, values, listed, most, most_mass, low, at_least, LIST, top, scale, BLOCK
        )  # fmt: skip
        if at_least <= LIST:
            listed = _collect(logits, dense, values, tokens, listed, low, listed_values, listed_tokens, BLOCK)
            dense = 0
            values = listed_values
            tokens = listed_tokens
            tl.debug_barrier()
    equals = 0  # tokens whose logit is `low` …
    kept = 0  # … and how many of them are kept, where not all are
    if counted:
        low, at_least, over, over_mass = _search(
            logits, dense, values, listed, top_k, _INFINITY, low, at_least, 0, top, scale, BLOCK
        )  # fmt: skip
        equals = at_least - over
        kept = top_k - over
        mass = over_mass + tl.minimum(kept, equals).to(tl.float32) * tl.exp2((low - top) * scale)
    if top_p < 1.0:
        least = low
        most_mass = top_p * mass
        low, at_least, over, over_mass = _search(
            logits, dense, values, listed, _MOST, most_mass, low, at_least, 0, top, scale, BLOCK
        )  # fmt: skip
        fitting = tl.ceil((most_mass - over_mass) / tl.exp2((low - top) * scale))
        fitting = tl.maximum(1.0, tl.minimum(fitting, 1e9)).to(tl.int32)
        kept = tl.where(counted & (low == least), tl.minimum(kept, fitting), fitting)
        equals = at_least - over
    first = 0
    last = vocabulary - 1
    if equals > kept:
        while first < last:
            middle = (first + last) // 2
            if _equal(logits, dense, values, tokens, listed, low, middle, BLOCK) >= kept:
                last = middle
            else:
                first = middle + 1
    tl.store(least_kept, low)
    tl.store(last_kept, last)


@triton.jit
def _search(logits, dense, values, listed, most, most_mass, low, at_least, enough, top, scale, BLOCK: tl.constexpr):
    """The least logit of which likelier tokens are fewer than `most` and weigh less than `most_mass`.

    It is at least `low`, a logit of the row with `at_least` tokens as likely or likelier. Returns it with the number of
    these, the number of likelier ones and their mass; or something lower, once no more than `enough` are as likely.
    """
    high = top
    over = tl.full([], 0, tl.int32)
    over_mass = tl.full([], 0.0, tl.float32)
    while (low < high) & (at_least > enough):
        middle = low + (high - low) * 0.5
        pivot = tl.where(middle > low, middle, high)
        count, mass, above, below = _survey(logits, dense, values, listed, pivot, top, scale, BLOCK)
        if (count >= most) | (mass >= most_mass):
            low = above
            at_least = count
        else:
            high = below
            over = count
            over_mass = mass
    return low, at_least, over, over_mass


@triton.jit
def _survey(logits, dense, values, listed, pivot, top, scale, BLOCK: tl.constexpr):
    """Number and mass of the logits that are at least `pivot`, the least of them, and the greatest of the others."""
    lane = tl.arange(0, BLOCK)
    count = tl.zeros([BLOCK], tl.int32)
    mass = tl.zeros([BLOCK], tl.float32)
    above = tl.full([BLOCK], _INFINITY, tl.float32)
    below = tl.full([BLOCK], -_INFINITY, tl.float32)
    for at in range(0, dense, BLOCK):
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-_INFINITY).to(tl.float32)
        count, mass, above, below = _weigh(value, pivot, top, scale, count, mass, above, below)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-_INFINITY)
        count, mass, above, below = _weigh(value, pivot, top, scale, count, mass, above, below)
    return tl.sum(count), tl.sum(mass), tl.min(above), tl.max(below)


@triton.jit
def _weigh(value, pivot, top, scale, count, mass, above, below):
    chosen = value >= pivot
    count += chosen.to(tl.int32)
    mass += tl.where(chosen, tl.exp2((value - top) * scale), 0.0)
    above = tl.minimum(above, tl.where(chosen, value, _INFINITY))
    below = tl.maximum(below, tl.where(chosen, -_INFINITY, value))
    return count, mass, above, below


@triton.jit
def _collect(logits, dense, values, tokens, listed, least, found_values, found_tokens, BLOCK: tl.constexpr):
    """Copy the logits that are at least `least`, and their tokens, always in the same order. Returns how many."""
    lane = tl.arange(0, BLOCK)
    count = tl.zeros([BLOCK], tl.int32)
    for at in range(0, dense, BLOCK):
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-_INFINITY).to(tl.float32)
        count += (value >= least).to(tl.int32)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-_INFINITY)
        count += (value >= least).to(tl.int32)
    place = tl.cumsum(count, 0) - count  # each lane has a stretch of its own
    for at in range(0, dense, BLOCK):
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-_INFINITY).to(tl.float32)
        chosen = value >= least
        tl.store(found_values + place, value, mask=chosen)
        tl.store(found_tokens + place, at + lane, mask=chosen)
        place += chosen.to(tl.int32)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-_INFINITY)
        token = tl.load(tokens + at + lane, mask=at + lane < listed, other=0)
        chosen = value >= least
        tl.store(found_values + place, value, mask=chosen)
        tl.store(found_tokens + place, token, mask=chosen)
        place += chosen.to(tl.int32)
    return tl.sum(count)


@triton.jit
def _equal(logits, dense, values, tokens, listed, wanted, last, BLOCK: tl.constexpr):
    """How many tokens up to `last` have the logit `wanted`."""
    lane = tl.arange(0, BLOCK)
    count = tl.zeros([BLOCK], tl.int32)
    for at in range(0, tl.minimum(dense, last + 1), BLOCK):
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-_INFINITY).to(tl.float32)
        count += ((value == wanted) & (at + lane <= last)).to(tl.int32)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-_INFINITY)
        token = tl.load(tokens + at + lane, mask=at + lane < listed, other=_MOST)
        count += ((value == wanted) & (token <= last)).to(tl.int32)
    return tl.sum(count)


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
    words += slot * _WORDS
    flags = tl.load(words + _FLAGS)
    logits += row * stride
    history += slot * room
    adjusted += slot * room
    length = _output_length(positions, row, words, room)
    listed = tl.where((flags & _PENALTIES) != 0, length, 0)
    if (flags & _DRAWS) == 0:
        value, token = _likeliest(logits, vocabulary, history, adjusted, listed, part, parts, BLOCK)
    else:
        first_key, second_key = _stream_keys(words, length)
        scale = _LOG2_E / _float(words, _TEMPERATURE)
        cuts = (flags & _CUTS) != 0
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
    best = tl.full([BLOCK], -_INFINITY, tl.float32)
    winner = tl.zeros([BLOCK], tl.int32)
    for at in range(2 * part * BLOCK, vocabulary, 2 * parts * BLOCK):
        token = at + lane
        after = token + BLOCK
        value = tl.load(logits + token, mask=token < vocabulary, other=-_INFINITY)
        value_after = tl.load(logits + after, mask=after < vocabulary, other=-_INFINITY)  # two loads under way
        best, winner = _greater(best, winner, value.to(tl.float32), token)
        best, winner = _greater(best, winner, value_after.to(tl.float32), after)
    for at in range(part * BLOCK, listed, parts * BLOCK):
        token = tl.load(history + at + lane, mask=at + lane < listed, other=0)
        value = tl.load(adjusted + at + lane, mask=at + lane < listed, other=-_INFINITY)
        best, winner = _greater_or_lower(best, winner, value, token)
    return _best(best, winner)


@triton.jit
def _luckiest(
    logits, vocabulary, history, adjusted, listed, part, parts, first_key, second_key, scale, cuts, least, last,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The greatest sum of scaled logit and noise in a part of a row, of tokens up to the cut, and its token."""
    lane = tl.arange(0, BLOCK)
    best = tl.full([BLOCK], -_INFINITY, tl.float32)
    winner = tl.zeros([BLOCK], tl.int32)
    for at in range(part * BLOCK, vocabulary, parts * BLOCK):
        token = at + lane
        value = tl.load(logits + token, mask=token < vocabulary, other=-_INFINITY).to(tl.float32)
        score = value * scale + _gumbel(first_key, second_key, token)
        if cuts:
            score = tl.where((value > least) | ((value == least) & (token <= last)), score, -_INFINITY)
        best, winner = _greater(best, winner, score, token)
    for at in range(part * BLOCK, listed, parts * BLOCK):
        token = tl.load(history + at + lane, mask=at + lane < listed, other=0)
        value = tl.load(adjusted + at + lane, mask=at + lane < listed, other=-_INFINITY)
        score = value * scale + _gumbel(first_key, second_key, token)
        if cuts:
            score = tl.where((value > least) | ((value == least) & (token <= last)), score, -_INFINITY)
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
    return greatest, tl.min(tl.where(values == greatest, tokens, _MOST))


@triton.jit
def _mix(word):
    """`noise.mix_` of uint32."""
    word ^= word >> 16
    word *= 0x7FEB352D
    word ^= word >> 15
    word *= 0x846CA68B
    return word ^ (word >> 16)


@triton.jit
def _stream_keys(words, place):
    """`noise.stream_keys` of the row's seed and the place in the output."""
    low = tl.load(words + _SEED_LOW).to(tl.uint32, bitcast=True)
    high = tl.load(words + _SEED_HIGH).to(tl.uint32, bitcast=True)
    first = _mix(low ^ _mix(place.to(tl.uint32, bitcast=True)))
    return first, _mix(high ^ _mix(first ^ 0x9E3779B9))


@triton.jit
def _gumbel(first_key, second_key, token):
    """`noise.gumbel`, but in units of log 2, and exact to about 1e-6: two logarithms as good as a library's would take
    longer than all the rest.

    The approximate logarithm of the hardware is poor near 1, just where the noise is great and decides. There the
    logarithm of 1 - x is a polynomial in x, which is exact: the lower bits of the uniform number, inverted.
    """
    bits = _mix(_mix(token.to(tl.uint32, bitcast=True) ^ first_key) ^ second_key)
    rest = ((bits >> 9) ^ 0x3FFFFFFF).to(tl.float32, bitcast=True) - (1.0 - 2.0**-24)  # 1 - uniform, by way of [1, 2)
    ratio = 0.33244172 * rest + 0.090614952
    ratio = ratio * rest + 0.21394664
    ratio = ratio * rest + 0.24872951
    ratio = ratio * rest + 0.33338746
    ratio = ratio * rest + 0.49999914
    ratio = ratio * rest + 1.0  # -log(1 - rest) / rest, to float32's precision up to a quarter
    exponential = tl.where(rest < 0.25, ratio * rest, _LOG_2 * -_log2(1.0 - rest))
    return -_log2(exponential)


@triton.jit
def _log2(x):
    if _INTERPRETED:
        return tl.log2(x)
    else:  # noqa: RET505  (an else that Triton does not compile)
        return libdevice.fast_log2f(x)


# ---- the winner ------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=[*_ANY, "tokens", "parts"])
def _finish(
    slots, positions, words, history, counts, repeats, room, best_values, best_tokens, parts, drawn, tokens,
    PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + row).to(tl.int64)
    words += slot * _WORDS
    history += slot * room
    counts += slot * room
    repeats += slot * room
    flags = tl.load(words + _FLAGS)
    length = _output_length(positions, row, words, room)
    part = tl.arange(0, PARTS)
    value = tl.load(best_values + row * parts + part, mask=part < parts, other=-_INFINITY)
    candidate = tl.load(best_tokens + row * parts + part, mask=part < parts, other=_MOST)
    greatest, token = _best(value, candidate)  # NaN is never the greatest
    tl.store(tokens + row, tl.where(tl.abs(greatest) < _INFINITY, token, _NOT_FINITE).to(tl.int64))
    tl.store(drawn + slot, token.to(tl.int64))
    if (length < 0) | (length >= room):
        return
    tl.store(history + length, token)
    if (flags & (_PENALTIES | _NGRAMS)) == 0:
        return
    first = tl.full([BLOCK], _MOST, tl.int32)
    for at in range(0, length, BLOCK):
        place = at + tl.arange(0, BLOCK)
        inside = place < length
        same = inside & (tl.load(history + place, mask=inside, other=-1) == token)
        first = tl.minimum(first, tl.where(same, place, _MOST))
        # At a lag that stays, the end that repeats itself has grown by one or begins anew.
        lag = length - place
        repeat = tl.load(repeats + lag, mask=inside & (place > 0), other=0)
        tl.store(repeats + lag, tl.where(same, repeat + 1, 0), mask=inside)
    earlier = tl.min(first)
    tl.store(counts + length, (earlier == _MOST).to(tl.int32))
    if earlier != _MOST:
        tl.store(counts + earlier, tl.load(counts + earlier) + 1)
