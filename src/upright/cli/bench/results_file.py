"""The file of `--json`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from upright import __version__


def write_results(path: Path, figures: dict[str, Any], complete: bool) -> None:
    """Raises: OSError."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    path.write_text(json.dumps({"version": __version__, "date": now, "complete": complete} | figures, indent=2) + "\n")
