"""Where a distribution is cut off: by top-k, top-p and min-p.

Tokens in the order of logit, then id, are kept up to a boundary: a logit, and an id among those with that logit. It is
found by bisection, in passes over the row, or over a copy of its likeliest tokens once those are few.
"""

from __future__ import annotations

import triton
import triton.language as tl

from upright.kernels.triton.sampler_words import INFINITY, LOG2_E, MIN_P, MOST, TEMPERATURE, TOP_K, TOP_P, float_word

_HIDDEN = tl.constexpr(40.0)  # a token whose logarithm is so far under the greatest neither weighs nor wins anything


@triton.jit
def cut(
    logits, vocabulary, words, adjusted, history, listed, listed_values, listed_tokens, least_kept, last_kept,
    BLOCK: tl.constexpr, LIST: tl.constexpr,
):  # fmt: skip
    temperature = float_word(words, TEMPERATURE)
    scale = LOG2_E / temperature
    top_k = tl.load(words + TOP_K)
    top_p = float_word(words, TOP_P)
    dense = vocabulary  # tokens to look at in `logits`; the others are the `listed` ones in `values` and `tokens`
    values = adjusted
    tokens = history
    _, _, _, top = _survey(logits, dense, values, listed, INFINITY, 0.0, scale, BLOCK)
    floor = tl.maximum(top - _HIDDEN * temperature, top + temperature * tl.log(float_word(words, MIN_P)))
    at_least, mass, low, _ = _survey(logits, dense, values, listed, floor, top, scale, BLOCK)
    counted = (top_k > 0) & (top_k < at_least)
    if counted | (top_p < 1.0):
        most = tl.where(counted, top_k, MOST)
        most_mass = tl.where(top_p < 1.0, top_p * mass, INFINITY)
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
            logits, dense, values, listed, top_k, INFINITY, low, at_least, 0, top, scale, BLOCK
        )  # fmt: skip
        equals = at_least - over
        kept = top_k - over
        mass = over_mass + tl.minimum(kept, equals).to(tl.float32) * tl.exp2((low - top) * scale)
    if top_p < 1.0:
        least = low
        most_mass = top_p * mass
        low, at_least, over, over_mass = _search(
            logits, dense, values, listed, MOST, most_mass, low, at_least, 0, top, scale, BLOCK
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
    above = tl.full([BLOCK], INFINITY, tl.float32)
    below = tl.full([BLOCK], -INFINITY, tl.float32)
    for at in range(0, dense, BLOCK):
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-INFINITY).to(tl.float32)
        count, mass, above, below = _weigh(value, pivot, top, scale, count, mass, above, below)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-INFINITY)
        count, mass, above, below = _weigh(value, pivot, top, scale, count, mass, above, below)
    return tl.sum(count), tl.sum(mass), tl.min(above), tl.max(below)


@triton.jit
def _weigh(value, pivot, top, scale, count, mass, above, below):
    chosen = value >= pivot
    count += chosen.to(tl.int32)
    mass += tl.where(chosen, tl.exp2((value - top) * scale), 0.0)
    above = tl.minimum(above, tl.where(chosen, value, INFINITY))
    below = tl.maximum(below, tl.where(chosen, -INFINITY, value))
    return count, mass, above, below


@triton.jit
def _collect(logits, dense, values, tokens, listed, least, found_values, found_tokens, BLOCK: tl.constexpr):
    """Copy the logits that are at least `least`, and their tokens, always in the same order. Returns how many."""
    lane = tl.arange(0, BLOCK)
    count = tl.zeros([BLOCK], tl.int32)
    for at in range(0, dense, BLOCK):
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-INFINITY).to(tl.float32)
        count += (value >= least).to(tl.int32)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-INFINITY)
        count += (value >= least).to(tl.int32)
    place = tl.cumsum(count, 0) - count  # each lane has a stretch of its own
    for at in range(0, dense, BLOCK):
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-INFINITY).to(tl.float32)
        chosen = value >= least
        tl.store(found_values + place, value, mask=chosen)
        tl.store(found_tokens + place, at + lane, mask=chosen)
        place += chosen.to(tl.int32)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-INFINITY)
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
        value = tl.load(logits + at + lane, mask=at + lane < dense, other=-INFINITY).to(tl.float32)
        count += ((value == wanted) & (at + lane <= last)).to(tl.int32)
    for at in range(0, listed, BLOCK):
        value = tl.load(values + at + lane, mask=at + lane < listed, other=-INFINITY)
        token = tl.load(tokens + at + lane, mask=at + lane < listed, other=MOST)
        count += ((value == wanted) & (token <= last)).to(tl.int32)
    return tl.sum(count)
