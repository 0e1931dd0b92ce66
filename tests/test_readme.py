"""The README names every option, and no option that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from upright.config import ServeConfig

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_table_of_options_is_complete() -> None:
    table = README.split("## Options")[1].split("## What it answers")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `--")]
    named = {flag for row in rows for flag in re.findall(r"`--([a-z-]+)`", row.split("|")[1])}
    assert named == {name.replace("_", "-") for name in ServeConfig.model_fields} - {"model"}
