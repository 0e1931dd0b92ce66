"""Where the patches of packed images stand: on their own grid for the rotation, and in windows for attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Grid = tuple[int, int]  # height and width in patches


def patch_positions(grids: Sequence[Grid], merge_size: int) -> Tensor:
    """Row and column of every patch, int64 [2, patches], in the order in which `image_patches` writes them."""
    parts = []
    for height, width in grids:
        shape = (height // merge_size, merge_size, width // merge_size, merge_size)
        rows = torch.arange(height).view(shape[0], merge_size, 1, 1).expand(shape)
        columns = torch.arange(width).view(1, 1, shape[2], merge_size).expand(shape)
        parts.append(torch.stack((rows, columns)).transpose(2, 3).reshape(2, -1))
    return torch.cat(parts, dim=1)


def window_order(grids: Sequence[Grid], merge_size: int, window: int) -> tuple[Tensor, tuple[int, ...]]:
    """Merged tokens sorted by window, int64 [tokens], and the length of each window in merged tokens.

    A window spans `window` x `window` merged tokens and is cut off at the right and lower edges. The windows of an
    image stay together, and those of equal size are neighbours, so that attention can serve them in one call.
    """
    order: list[Tensor] = []
    lengths: list[int] = []
    first = 0
    for height, width in grids:
        rows, columns = height // merge_size, width // merge_size
        tokens = torch.arange(first, first + rows * columns).view(rows, columns)
        first += rows * columns
        windows = [
            tokens[top : top + window, left : left + window].flatten()
            for top in range(0, rows, window)
            for left in range(0, columns, window)
        ]
        windows.sort(key=len, reverse=True)
        order += windows
        lengths += [len(window) for window in windows]
    return torch.cat(order), tuple(lengths)
