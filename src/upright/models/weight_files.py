"""Which files hold a checkpoint's weights, found before anything is loaded. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from upright.logs import few
from upright.models.safetensors_file import fault_of


class WeightsError(Exception):
    """The weights cannot be loaded. The message names the file or tensor and says what is wrong with it."""


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in the order of the index where there is one.

    Raises: WeightsError, also for files that are not whole.
    """
    files = _named_files(directory)
    for path in files:
        fault = fault_of(path)
        if fault is not None:
            raise WeightsError(f"{path} {fault}")
    return files


def _named_files(directory: Path) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"{index} cannot be read: {error!r}") from error
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise WeightsError(
                f"{directory} lacks {len(missing)} of {len(names)} weight files: {few(missing)}; download them again"
            )
        return [directory / name for name in names]
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        other = sorted(path.name for path in directory.glob("*.bin"))
        hint = f", only {few(other)}; convert it to safetensors" if other else "; is the download complete?"
        raise WeightsError(f"{directory} holds no weights (*.safetensors){hint}")
    return files
