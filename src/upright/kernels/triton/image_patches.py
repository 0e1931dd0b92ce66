"""Pixels to normalised patches, one program a patch."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor


def write(
    pixels: Tensor, scale: Sequence[float], shift: Sequence[float], patches: Tensor, patch: int, merge: int, times: int
) -> None:  # fmt: skip
    """Write `pixels` [height, width, 3], uint8, contiguous, to `patches` [height * width / patch**2, 3 * times *
    patch**2], contiguous, in the order of `models.image_pixels.image_patches`; a value is `value * scale + shift`.
    """
    height, width, channels = pixels.shape
    if channels != 3 or not pixels.is_contiguous() or not patches.is_contiguous():
        raise ValueError(f"pixels must be contiguous and RGB, patches contiguous; not {list(pixels.shape)}")
    if patches.numel() != pixels.numel() * times:
        raise ValueError(f"{list(patches.shape)} is no place for the patches of {list(pixels.shape)}")
    values = patch * patch * 3
    _write[(height // patch * (width // patch),)](
        pixels, patches, width, *scale, *shift,
        PATCH=patch, AREA=patch * patch, MERGE=merge, TIMES=times, BLOCK=triton.next_power_of_2(values), num_warps=4,
    )  # fmt: skip


@triton.jit(do_not_specialize=["width"])
def _write(
    pixels, patches, width, red_scale, green_scale, blue_scale, red_shift, green_shift, blue_shift,
    PATCH: tl.constexpr, AREA: tl.constexpr, MERGE: tl.constexpr, TIMES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0)
    inner, outer = number % (MERGE * MERGE), number // (MERGE * MERGE)
    columns = width // (PATCH * MERGE)
    top = (outer // columns * MERGE + inner // MERGE) * PATCH
    left = (outer % columns * MERGE + inner % MERGE) * PATCH
    value = tl.arange(0, BLOCK)
    inside = value < 3 * AREA
    channel, place = value // AREA, value % AREA
    row, column = top + place // PATCH, left + place % PATCH
    found = tl.load(pixels + (row.to(tl.int64) * width + column) * 3 + channel, mask=inside, other=0).to(tl.float32)
    scale = tl.where(channel == 0, red_scale, tl.where(channel == 1, green_scale, blue_scale))
    shift = tl.where(channel == 0, red_shift, tl.where(channel == 1, green_shift, blue_shift))
    normal = (found * scale + shift).to(patches.dtype.element_ty)
    target = patches + number.to(tl.int64) * (3 * TIMES * AREA) + channel * (TIMES * AREA) + place
    for time in tl.static_range(TIMES):
        tl.store(target + time * AREA, normal, mask=inside)
