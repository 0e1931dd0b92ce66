"""Pixels of a decoded image to the patches that the vision tower reads, with the arithmetic of Qwen2-VL's processor."""

from __future__ import annotations

import torch
from torch import Tensor

from upright.models.image_grid import ImageGrid
from upright.models.model_config import ImageProcessing, VisionConfig
from upright.models.resample import resize_bicubic


def image_patches(pixels: Tensor, grid: ImageGrid, vision: VisionConfig, processing: ImageProcessing) -> Tensor:
    """Resized, normalised patches of one image.

    `pixels` is uint8 [height, width, 3], RGB. The result is float32 [grid_height * grid_width, channels *
    temporal_patch_size * patch_size**2] on the device of `pixels`. Patches that are merged into one token stand next
    to each other: rows are ordered (merged row, merged column, row within, column within), and each holds its values
    as (channel, time, row, column); a still image is repeated over time.
    """
    resized = resize_bicubic(pixels, grid.height, grid.width)
    # (value / 255 - mean) / std as one multiplication and one addition
    device = pixels.device
    std = torch.tensor(processing.std, dtype=torch.float64)
    scale = (1 / (255 * std)).float().to(device)
    shift = (-torch.tensor(processing.mean, dtype=torch.float64) / std).float().to(device)
    normalised = torch.addcmul(shift, resized.float(), scale)  # [height, width, channels]
    merge, patch, channels = vision.merge_size, vision.patch_size, vision.in_channels
    rows, columns = grid.grid_height // merge, grid.grid_width // merge
    split = normalised.view(rows, merge, patch, columns, merge, patch, channels)
    ordered = split.permute(0, 3, 1, 4, 6, 2, 5).unsqueeze(5)  # rows, columns, merge, merge, channels, 1, patch, patch
    still = ordered.expand(-1, -1, -1, -1, -1, vision.temporal_patch_size, -1, -1)
    return still.reshape(grid.grid_height * grid.grid_width, channels * vision.temporal_patch_size * patch * patch)
