"""The command line as people meet it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from upright import __version__
from upright.cli.commands import app
from upright.cli.options import with_options
from upright.config import ServeConfig

RUNNER = CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})


def given(*arguments: str) -> tuple[dict[str, Any], Path | None]:
    """What a command line says, as the command gets it."""
    seen: list[tuple[dict[str, Any], Path | None]] = []
    made = typer.Typer()
    made.command()(with_options(lambda options, file: seen.append((options, file)), "Try."))
    result = RUNNER.invoke(made, arguments)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_help_lists_every_option_with_its_description() -> None:
    help_text = " ".join(RUNNER.invoke(app, ["serve", "--help"]).output.split())
    for name, field in ServeConfig.model_fields.items():
        assert ("MODEL" if name == "model" else "--" + name.replace("_", "-") + " ") in help_text
        assert field.description is not None
        assert field.description in help_text, name
    assert "--config " in help_text
    assert "[default: 8000]" in help_text
    assert "UPRIGHT_MAX_NUM_SEQS=8 for --max-num-seqs 8, and a key of the file of --config" in help_text


def test_what_is_not_given_has_no_say() -> None:
    assert given() == ({}, None)
    assert given("m", "--port", "1", "--config", "f") == ({"model": "m", "port": "1"}, Path("f"))


def test_switches_go_both_ways() -> None:
    assert given("--offline", "--no-allow-private-media") == ({"offline": True, "allow_private_media": False}, None)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["serve", "--help"]])
def test_what_needs_no_model(arguments: list[str]) -> None:
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0
    if arguments == ["--version"]:
        assert result.output == f"upright {__version__}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["serve", "--help"], ["incidents"]])
def test_a_full_disk_is_told_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "upright", *arguments]
    environment = os.environ | {"UPRIGHT_STATE_DIR": str(tmp_path)}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "upright: the disk is full, so that no more can be written; make room, and run this again\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_an_option_that_is_not_there() -> None:
    result = RUNNER.invoke(app, ["serve", "m", "--max-modellen", "1"])
    assert result.exit_code == 2
    assert "--max-model-len" in result.output


def test_the_package_is_a_command_too() -> None:
    told = subprocess.run([sys.executable, "-m", "upright", "--version"], capture_output=True, text=True, check=True)

    assert told.stdout == f"upright {__version__}\n"
