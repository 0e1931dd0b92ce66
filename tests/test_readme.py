"""The README names every option and no other, and commands that are there."""

from __future__ import annotations

import re
from pathlib import Path

from upright.config import ServeConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_options_is_complete() -> None:
    table = README.split("## Options")[1].split("## What it answers")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `--")]
    named = {flag for row in rows for flag in re.findall(r"`--([a-z-]+)`", row.split("|")[1])}
    assert named == {name.replace("_", "-") for name in ServeConfig.model_fields} - {"model"}


def test_it_begins_with_what_makes_a_demo_and_what_tests() -> None:
    first = README.split("```sh\n")[1].split("```")[0]
    commands = [line.split("#")[0].strip() for line in first.splitlines()]
    assert commands == ["make demo", "make test"]
    assert "\nmake test " in (ROOT / ".ci" / "run").read_text()


def test_what_is_to_be_made_can_be_made() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= set(targets[1].split())


def test_its_first_requests_are_of_files_that_are_there() -> None:
    asked = README.split("## A first request")[1].split("\n## ")[0]
    (python,) = re.findall(r"```python\n(.*?)```", asked, re.DOTALL)
    compile(python, "README.md", "exec")
    files = set(re.findall(r"src/upright/[\w./]+", asked))
    assert files and all((ROOT / file).is_file() for file in files)
