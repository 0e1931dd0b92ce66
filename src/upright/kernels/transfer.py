"""Small tensors from the host to a device."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor`, which is in the host's memory, on `device`; the host does not wait for what the device has to do first.

    A copy out of memory that is not pinned does wait.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
