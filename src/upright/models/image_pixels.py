"""Pixels of a decoded image to the patches that the vision tower reads, with the arithmetic of Qwen2-VL's processor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from upright.models.image_grid import ImageGrid
from upright.models.model_config import ImageProcessing, VisionConfig


def image_patches(pixels: Tensor, grid: ImageGrid, vision: VisionConfig, processing: ImageProcessing) -> Tensor:
    """Resized, normalised patches of one image.

    `pixels` is uint8 [height, width, 3], RGB. The result is float32 [grid_height * grid_width, channels *
    temporal_patch_size * patch_size**2] on the device of `pixels`. Patches that are merged into one token stand next
    to each other: rows are ordered (merged row, merged column, row within, column within), and each holds its values
    as (channel, time, row, column); a still image is repeated over time.
    """
    resized = resize(pixels, grid.height, grid.width)
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


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Bicubic (a = -0.5) with antialiasing: uint8 [H, W, 3] to uint8 [height, width, 3].

    Width first, rounded to uint8, then height. On the CPU this is torch's fixed-point routine, the one that the
    processor calls through torchvision. Other devices have no uint8 kernel; there the same two passes run in float32
    and differ by one step in 255 at most. Pillow 13 sometimes takes the height first, which is another image: on noise,
    a few values in a hundred then differ by more than a step.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = pixels.permute(2, 0, 1).unsqueeze(0)  # a channels-last view, no copy
    if pixels.device.type == "cpu":
        resized = _bicubic(planes, height, width)
    else:
        wide = _bicubic(planes.float(), pixels.shape[0], width).round_().clamp_(0, 255)
        resized = _bicubic(wide, height, width).round_().clamp_(0, 255).to(torch.uint8)
    return resized.squeeze(0).permute(1, 2, 0)


def _bicubic(planes: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(planes, (height, width), mode="bicubic", align_corners=False, antialias=True)
