"""Positions of a prompt on three axes (time, height, width), as Qwen2-VL counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSpan:
    """The placeholder tokens of one image: `height * width` of them from `start`, on the merged grid."""

    start: int
    height: int
    width: int


def prompt_positions(length: int, images: Sequence[ImageSpan] = ()) -> tuple[Tensor, int]:
    """Positions int64 [3, length] on the CPU, and delta: output token i of the whole sequence stands at i + delta.

    Text advances all axes together. An image starts at (current maximum + 1) with time constant and rows and columns
    counted on the merged grid; the text after it resumes at (maximum + 1). Qwen2.5-VL scales time for videos only, so
    both architectures place images alike. Images are in prompt order; a prompt without any counts 0, 1, 2, … and has
    delta 0.

    Raises: ValueError when the images overlap or do not fit into the prompt.
    """
    positions = torch.empty(3, length, dtype=torch.int64)
    index = position = 0
    for image in images:
        end = image.start + image.height * image.width
        if image.start < index or end > length:
            raise ValueError(
                f"an image at tokens {image.start} to {end} overlaps another or leaves the {length} tokens"
            )
        text = image.start - index
        positions[:, index : image.start] = torch.arange(position, position + text)
        position += text
        block = positions[:, image.start : end].view(3, image.height, image.width)
        block[0] = position
        block[1] = torch.arange(position, position + image.height).unsqueeze(1)
        block[2] = torch.arange(position, position + image.width)
        position += max(image.height, image.width)
        index = end
    positions[:, index:] = torch.arange(position, position + length - index)
    return positions, position - index
