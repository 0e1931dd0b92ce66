"""A server of ours whose engine may be killed: its own state and temporary directories, and what GET /status says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from engines import Server, Setting
from quiet import processor_seconds

SETTLE_LIMIT = 120.0  # seconds


class HealingServer(Server):
    """`upright serve MODEL OPTIONS` with all it writes under `directory`. Use as a context manager."""

    name = "upright"

    def __init__(self, model: Path, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(Setting(model, Path(), Path(), 0, directory))
        self.options = options
        self.state_directory = directory / "state"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()

    @property
    def program(self) -> list[str]:
        script = Path(sys.executable).with_name("upright")
        if script.exists():
            return [str(script)]
        return [sys.executable, "-m", "upright"]  # this checkout is not installed

    def command(self) -> list[str]:
        own = ["--port", str(self.port), "--state-dir", str(self.state_directory)]
        return [*self.program, "serve", str(self.setting.model), *own, *self.options]

    def environment(self) -> dict[str, str]:
        return os.environ | {"HF_HUB_OFFLINE": "1", "TMPDIR": str(self.temporary)}

    @property
    def front(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid)

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + "/status", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def settle(self) -> None:
        """Return once an engine serves and all processes are at rest. Raises: RuntimeError.

        The process in reserve starts a second after the engine serves, and its imports take seconds of a core.
        """
        deadline = time.monotonic() + SETTLE_LIMIT
        reserve = "--no-standby" not in self.options
        while time.monotonic() < deadline:
            status = self.status()
            if status["state"] == "ready" and (not reserve or status["standby"] is not None):
                before = self.processor_seconds()
                time.sleep(1.0)
                if self.processor_seconds() - before < 0.05:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"the server did not come to rest; see {self.setting.logs}")

    def processor_seconds(self) -> float:
        """User and system time of the front and all processes that it has started and that live."""
        return processor_seconds(self.front)

    def incidents(self) -> dict[str, dict[str, Any]]:
        """Every report that is kept, by id. Reports are renamed into place whole."""
        reports = sorted((self.state_directory / "incidents").glob("[!.]*.json"))
        return {report.stem: json.loads(report.read_text()) for report in reports}

    def left_behind(self) -> list[str]:
        """Names in the temporary directory; to be empty after the server has ended."""
        return sorted(entry.name for entry in self.temporary.iterdir())


def recovery_seconds(incident: dict[str, Any]) -> float | None:
    """From the death to the next token of all that was in flight, as the server reports it."""
    parts = incident.get("recovery")
    return None if parts is None else sum(parts[name] for name in ("notice", "take_over", "load", "replay"))


def working_directory(name: str) -> Path:
    """A new one with a short path: sockets have their names below it. It is kept, with the logs.

    From now on SIGTERM ends this program by way of every `with`, so that servers are stopped too.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    print(f"logs and reports: {directory}", file=sys.stderr)
    return directory


def version_line() -> str:
    """Upright's version and revision."""
    from importlib.metadata import version

    from upright import __version__

    here = Path(__file__).parent
    revision = ""
    with contextlib.suppress(FileNotFoundError):  # a copy of the working tree may be without git
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True)
        revision = found.stdout.strip()
    return f"upright {__version__} at {revision or 'no revision'}, torch {version('torch')}"
