"""Where the patches of packed images stand: on their own grid for the rotation, and in windows for attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from upright.models.model_config import VisionConfig

Grid = tuple[int, int]  # height and width in patches

_GRIDS = 64  # whose layout is kept; pages of a document, and what is cut out of them, come in few sizes


@dataclass(frozen=True)
class Layout:
    """Packed images in the order in which a tower computes them. Tensors are on the CPU, and not to be changed."""

    positions: Tensor  # int32 [2, patches]: row and column of each patch
    images: tuple[int, ...]  # patches of each image
    windows: tuple[int, ...]  # patches of each window; the images again where a tower has none
    order: Tensor | None  # int64 [merged tokens]: from the images' order to the windows'; None: they are the same


def layout_of(grids: Sequence[Grid], vision: VisionConfig) -> Layout:
    """The layout of images of `grids` patches, one after the other."""
    merge = vision.merge_size
    positions = torch.cat([patch_positions(grid, merge) for grid in grids], dim=1)
    images = tuple(height * width for height, width in grids)
    if vision.window_size is None:
        return Layout(positions, images, images, None)
    window = vision.window_size // merge // vision.patch_size
    order, lengths = window_order(grids, merge, window)
    positions = positions.view(2, -1, merge**2)[:, order].flatten(1)
    return Layout(positions, images, tuple(length * merge**2 for length in lengths), order)


def window_order(grids: Sequence[Grid], merge_size: int, window: int) -> tuple[Tensor, tuple[int, ...]]:
    """Merged tokens of packed images sorted by window, int64 [tokens], and the length of each window in merged tokens.

    A window spans `window` x `window` merged tokens and is cut off at the right and lower edges. The windows of an
    image stay together, and those of equal size are neighbours, so that attention can serve them in one call.
    """
    order: list[Tensor] = []
    lengths: list[int] = []
    first = 0
    for height, width in grids:
        own, own_lengths = _image_windows(height // merge_size, width // merge_size, window)
        order.append(own + first)
        lengths += own_lengths
        first += len(own)
    return torch.cat(order), tuple(lengths)


@lru_cache(_GRIDS)
def patch_positions(grid: Grid, merge_size: int) -> Tensor:
    """Row and column of every patch of an image, int32 [2, patches], in the order of `image_patches`."""
    height, width = grid
    shape = (height // merge_size, merge_size, width // merge_size, merge_size)
    rows = torch.arange(height, dtype=torch.int32).view(shape[0], merge_size, 1, 1).expand(shape)
    columns = torch.arange(width, dtype=torch.int32).view(1, 1, shape[2], merge_size).expand(shape)
    return torch.stack((rows, columns)).transpose(2, 3).reshape(2, -1)


@lru_cache(_GRIDS)
def _image_windows(rows: int, columns: int, window: int) -> tuple[Tensor, tuple[int, ...]]:
    """The same for one image of `rows` x `columns` merged tokens."""
    tokens = torch.arange(rows * columns).view(rows, columns)
    windows = [
        tokens[top : top + window, left : left + window].flatten()
        for top in range(0, rows, window)
        for left in range(0, columns, window)
    ]
    windows.sort(key=len, reverse=True)
    return torch.cat(windows), tuple(map(len, windows))
