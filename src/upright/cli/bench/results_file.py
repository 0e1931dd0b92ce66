"""The file of `--json`: looked at before minutes are spent on what goes into it, and written after."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from upright import __version__
from upright.config import ConfigError


def check_results_file(path: Path) -> None:
    """Raises: ConfigError if it cannot be written."""
    if path.is_dir():
        raise ConfigError(f"--json {path} is a directory; name a file in it, such as {path / 'bench.json'}")
    if not path.parent.is_dir():
        raise ConfigError(f"--json {path}: there is no directory {path.parent}; make it, or name another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"--json {path} may not be written by this user; name another file")


def write_results(path: Path, figures: dict[str, Any], complete: bool) -> None:
    """Raises: OSError."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    path.write_text(json.dumps({"version": __version__, "date": now, "complete": complete} | figures, indent=2) + "\n")
