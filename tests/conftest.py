"""Fixtures for every room's tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

with suppress(ImportError):  # a machine with a GPU may have no more than the tests of its kernels need
    from hypothesis import HealthCheck, settings

    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")  # how long an example takes says something of the machine only

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach a model hub
# The models are tiny: a second thread would spin while it waits for the first, and keep a core from somebody else.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

try:
    from tests import checkpoints
except ImportError:  # run with another rootdir than the repository
    import checkpoints  # type: ignore[no-redef]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two workers one has the tests with servers that serve, the other the rest, file by file.

    So no two servers and their clients want the machine at the same time, and a server that is shared is started once.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            serves = "/end_to_end/" in file and not file.endswith("/test_start_errors.py")
            return "servers" if serves else file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Callable[[str], Path]:
    """tiny_checkpoint(architecture): the directory of a tiny checkpoint with tokenizer; do not write to it."""
    return checkpoints.tiny_checkpoint


@pytest.fixture(scope="session")
def qwen_tokenizer() -> Path:
    """The directory of a tokenizer with Qwen2's vocabulary; do not write to it."""
    return checkpoints.tokenizer_directory()
