"""Ctrl-C while the command is still being imported, before anything has been started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from upright.cli.leaving import INTERRUPTED, leaving_at_once

# Interrupts itself at the moment at which it looks for the module that its first argument names.
AT_AN_IMPORT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == at:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
at = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupt())
from upright.cli.main import run
run()
"""


@pytest.mark.parametrize("at", ["typer", "pydantic", "uvloop", "rich.console", "upright.cli.banner"])
def test_it_ends_without_a_word(at: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_AN_IMPORT, at, "serve", str(tmp_path), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (INTERRUPTED, "")


def test_what_was_there_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        for ours in (signal.default_int_handler, signal.SIG_IGN):
            signal.signal(signal.SIGINT, ours)
            with leaving_at_once():
                assert (signal.getsignal(signal.SIGINT) is ours) == (ours is signal.SIG_IGN)
                if ours is signal.SIG_IGN:
                    os.kill(os.getpid(), signal.SIGINT)  # it is ignored, as whoever started us wanted
            assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)
