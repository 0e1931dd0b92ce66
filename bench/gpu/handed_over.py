"""A kernel whose warps have work of their own and share nothing: what racecheck says of it is of Triton's making.

One group of warps sums among itself, with a barrier of its own. Without that racecheck says nothing.
"""

from __future__ import annotations

import torch
from triton.experimental import gluon
from triton.experimental.gluon import language as gl


def hand_over() -> None:
    _hand_over[(4,)](torch.zeros(4 * 160, dtype=torch.int32, device="cuda"), num_warps=4, maxnreg=128)


@gluon.jit
def _hand_over(place):
    gl.warp_specialize([(_sum_128, (place,)), (_write_32, (place,))], [1], [24])


@gluon.jit
def _sum_128(place):
    lane = gl.arange(0, 128, gl.BlockedLayout([1], [32], [4], [0]))
    values = gl.load(place + gl.program_id(0) * 160 + lane)
    gl.store(place + gl.program_id(0) * 160 + lane, lane + gl.sum(values, 0))


@gluon.jit
def _write_32(place):
    lane = gl.arange(0, 32, gl.BlockedLayout([1], [32], [1], [0]))
    gl.store(place + gl.program_id(0) * 160 + 128 + lane, lane)
