"""Real servers on a tiny checkpoint. Each is ended with its test, its module or the session, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import CONTEXT, RunningServer


@pytest.fixture(scope="session")
def model(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("qwen2_vl")


@pytest.fixture(scope="session")
def shared_server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("server")
    options = ("--max-model-len", str(CONTEXT), "--max-num-seqs", "16", "--no-standby")
    running = RunningServer(model, directory, *options)
    try:
        yield running.wait_until_ready()
    finally:
        running.end()


@pytest.fixture
def server(shared_server: RunningServer) -> RunningServer:
    """A server that many tests share: the test finds it idle and leaves it well."""
    assert shared_server.health() == 200
    return shared_server


@pytest.fixture
def start(model: Path, tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """start(*options): a server of the test's own, that may be killed; it is not waited for.

    With `faults=True` it can be asked to fail; with `after=` it goes on where that server has ended.
    """
    servers: list[RunningServer] = []

    def run(*options: str, after: RunningServer | None = None, **more: Any) -> RunningServer:
        directory = tmp_path / f"server-{len(servers)}" if after is None else after.directory
        directory.mkdir(exist_ok=True)
        servers.append(RunningServer(model, directory, "--max-model-len", str(CONTEXT), *options, **more))
        return servers[-1]

    try:
        yield run
    finally:
        for running in servers:
            running.end()
