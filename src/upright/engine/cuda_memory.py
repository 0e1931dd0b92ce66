"""A GPU's memory as `footprint` asks for it. Nothing in here decides anything."""

from __future__ import annotations

import gc
from pathlib import Path

import torch
from torch.nn.functional import linear


class CudaMemory:
    """Opens the device: context, cuBLAS and cuBLASLt take what they always take before `free` is first read."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        square = torch.zeros(16, 16, dtype=dtype, device=device)
        linear(square, square)
        linear(square, square, square[0])  # with a bias it is cuBLASLt's
        del square
        self.release()

    @property
    def total(self) -> int:
        return torch.cuda.mem_get_info(self._device)[1]

    def free(self) -> int:
        return torch.cuda.mem_get_info(self._device)[0]

    def reserved(self) -> int:
        return torch.cuda.memory_reserved(self._device)

    def peak(self) -> int:
        return torch.cuda.max_memory_reserved(self._device)

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def release(self) -> None:
        torch.cuda.synchronize(self._device)
        gc.collect()
        torch.cuda.empty_cache()

    def facts(self) -> tuple[str, ...]:
        """What a footprint depends on here: the card, its driver, PyTorch."""
        name = torch.cuda.get_device_name(self._device)
        return name, str(self.total), _driver(), torch.__version__, str(torch.version.cuda)


def _driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"
