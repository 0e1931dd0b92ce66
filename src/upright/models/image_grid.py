"""How large an image becomes, and how many tokens it costs, from its width and height alone. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from upright.models.model_config import ImageProcessing, VisionConfig

MAX_ASPECT_RATIO = 200


@dataclass(frozen=True)
class ImageGrid:
    """One image after resizing. `grid_*` count patches before merging, `tokens` the placeholders in the prompt."""

    height: int  # pixels
    width: int
    grid_height: int  # patches
    grid_width: int
    tokens: int


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Height and width in pixels, both multiples of `factor`, with `min_pixels` to `max_pixels` between them.

    The aspect ratio is kept as nearly as the multiples allow. Sides round half to even, and when the area is out of
    bounds both are scaled by the same root and rounded inwards: the rule of Qwen2-VL's image processor, which has to be
    followed to the last pixel, because the number of placeholder tokens follows from it.

    Raises: ValueError when a side is not positive or the aspect ratio is over 200.
    """
    if min(height, width) < 1:
        raise ValueError(f"an image of {width}x{height} pixels has nothing to show")
    if max(height, width) / min(height, width) > MAX_ASPECT_RATIO:
        ratio = max(height, width) / min(height, width)
        raise ValueError(
            f"an image of {width}x{height} pixels has an aspect ratio of {ratio:.0f}, over {MAX_ASPECT_RATIO}"
        )
    new_height, new_width = round(height / factor) * factor, round(width / factor) * factor
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return new_height, new_width


def image_grid(
    height: int, width: int, vision: VisionConfig, processing: ImageProcessing, max_pixels: int | None = None
) -> ImageGrid:
    """The grid of an image of `height` x `width` pixels. `max_pixels` lowers the image processor's own limit.

    Raises: ValueError as `smart_resize` does.
    """
    most = processing.max_pixels if max_pixels is None else min(max_pixels, processing.max_pixels)
    factor = vision.patch_size * vision.merge_size
    new_height, new_width = smart_resize(height, width, factor, min(processing.min_pixels, most), most)
    return ImageGrid(
        height=new_height,
        width=new_width,
        grid_height=new_height // vision.patch_size,
        grid_width=new_width // vision.patch_size,
        tokens=(new_height // factor) * (new_width // factor),
    )
