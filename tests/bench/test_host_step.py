"""What a step costs the host is still measured on the core as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "host_step.py"
PARTS = ["schedule", "record", "launch", "complete", "outputs", "send", "all"]


@pytest.mark.parametrize("more", [[], ["--tokens", "8"], ["--no-overlap"]], ids=["endless", "in turn", "one by one"])
def test_every_part_of_a_step_is_told(more: list[str]) -> None:
    small = ["--sequences", "4", "--steps", "40", "--prompt", "20"]

    told = subprocess.run([sys.executable, str(SCRIPT), *small, *more], capture_output=True, text=True)

    assert told.returncode == 0, told.stderr
    assert re.findall(r"^\| (\w+) \| \d+ \| \d+ \| \d+ \|$", told.stdout, re.MULTILINE) == PARTS
