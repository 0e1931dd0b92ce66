"""Pixels of a decoded image to the patches that the vision tower reads, with the arithmetic of Qwen2-VL's processor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from upright.kernels.compiled import serves
from upright.models.image_grid import ImageGrid
from upright.models.model_config import ImageProcessing, VisionConfig
from upright.models.resample import resize_bicubic


def pack_patches(
    pictures: Sequence[Tensor], grids: Sequence[ImageGrid], vision: VisionConfig, processing: ImageProcessing,
    device: torch.device, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """Patches of several images, one after the other, [sum of patches, values per patch] on `device`.

    `pictures` as `image_patches` takes them, in the host's memory; where that is pinned the host does not wait for the
    device. The values are float32, or of `dtype` where compiled kernels make them.
    """
    there = [pixels.to(device, non_blocking=True) for pixels in pictures]
    if not serves(there[0]):
        return torch.cat([image_patches(*pair, vision, processing) for pair in zip(there, grids, strict=True)])
    from upright.kernels.triton import image_patches as compiled

    sizes = [grid.grid_height * grid.grid_width for grid in grids]
    patch, merge, times = vision.patch_size, vision.merge_size, vision.temporal_patch_size
    packed = torch.empty(sum(sizes), vision.in_channels * times * patch**2, dtype=dtype, device=device)
    for pixels, grid, patches in zip(there, grids, torch.split(packed, sizes), strict=True):
        resized = resize_bicubic(pixels, grid.height, grid.width)
        compiled.write(resized, *scale_and_shift(processing), patches, patch, merge, times)
    return packed


def image_patches(pixels: Tensor, grid: ImageGrid, vision: VisionConfig, processing: ImageProcessing) -> Tensor:
    """Resized, normalised patches of one image.

    `pixels` is uint8 [height, width, 3], RGB. The result is float32 [grid_height * grid_width, channels *
    temporal_patch_size * patch_size**2] on the device of `pixels`. Patches that are merged into one token stand next
    to each other: rows are ordered (merged row, merged column, row within, column within), and each holds its values
    as (channel, time, row, column); a still image is repeated over time.
    """
    resized = resize_bicubic(pixels, grid.height, grid.width)
    scale, shift = (torch.tensor(part, device=pixels.device) for part in scale_and_shift(processing))
    normalised = torch.addcmul(shift, resized.float(), scale)  # [height, width, channels]
    merge, patch, channels = vision.merge_size, vision.patch_size, vision.in_channels
    rows, columns = grid.grid_height // merge, grid.grid_width // merge
    split = normalised.view(rows, merge, patch, columns, merge, patch, channels)
    ordered = split.permute(0, 3, 1, 4, 6, 2, 5).unsqueeze(5)  # rows, columns, merge, merge, channels, 1, patch, patch
    still = ordered.expand(-1, -1, -1, -1, -1, vision.temporal_patch_size, -1, -1)
    return still.reshape(grid.grid_height * grid.grid_width, channels * vision.temporal_patch_size * patch * patch)


def scale_and_shift(processing: ImageProcessing) -> tuple[list[float], list[float]]:
    """(value / 255 - mean) / std of each channel as one multiplication and one addition."""
    scale = [1 / (255 * std) for std in processing.std]
    return scale, [-mean / std for mean, std in zip(processing.mean, processing.std, strict=True)]
