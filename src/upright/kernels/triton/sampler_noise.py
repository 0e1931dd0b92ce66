"""The noise that draws a token, the same for a seed, a place and a token on every device: see `kernels.noise`."""

from __future__ import annotations

import os

import triton
import triton.language as tl
from triton.language.extra import libdevice

from upright.kernels.triton.sampler_words import SEED_HIGH, SEED_LOW

_LOG_2 = tl.constexpr(0.6931471805599453)
_INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def _mix(word):
    """`noise.mix_` of uint32."""
    word ^= word >> 16
    word *= 0x7FEB352D
    word ^= word >> 15
    word *= 0x846CA68B
    return word ^ (word >> 16)


@triton.jit
def stream_keys(words, place):
    """`noise.stream_keys` of the row's seed and the place in the output."""
    low = tl.load(words + SEED_LOW).to(tl.uint32, bitcast=True)
    high = tl.load(words + SEED_HIGH).to(tl.uint32, bitcast=True)
    first = _mix(low ^ _mix(place.to(tl.uint32, bitcast=True)))
    return first, _mix(high ^ _mix(first ^ 0x9E3779B9))


@triton.jit
def gumbel(first_key, second_key, token):
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
