"""Fixtures for every room's tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

with suppress(ImportError):  # a machine with a GPU may have no more than the tests of its kernels need
    from hypothesis import HealthCheck, settings

    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")  # how long an example takes says something of the machine only

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach a model hub

try:
    from tests import checkpoints
except ImportError:  # run with another rootdir than the repository
    import checkpoints  # type: ignore[no-redef]


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Callable[[str], Path]:
    """tiny_checkpoint(architecture): the directory of a tiny checkpoint with tokenizer; do not write to it."""
    return checkpoints.tiny_checkpoint


@pytest.fixture(scope="session")
def qwen_tokenizer() -> Path:
    """The directory of a tokenizer with Qwen2's vocabulary; do not write to it."""
    return checkpoints.tokenizer_directory()
