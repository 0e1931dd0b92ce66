"""A run of all stages goes on where it was broken off, and keeps to its time."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from training import run
from training.run import BESIDE, FROM_NOTHING, LEAST, ONWARD, minutes_of


def test_stages_share_the_minutes_that_are_left() -> None:
    left = 30.0
    stages = FROM_NOTHING
    for number in range(len(stages)):
        left -= minutes_of(stages[number:], left) + BESIDE
    assert left == pytest.approx(0.0)
    assert minutes_of(ONWARD, -5.0) == LEAST


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is run, each of which leaves what a stage leaves."""
    found: list[list[str]] = []

    def told(words: list[str]) -> None:
        found.append(words)
        if "training.train" in words:
            directory = Path(words[words.index("training.train") + 1])
            directory.mkdir(parents=True)
            (directory / "mean-0.safetensors").touch()

    monkeypatch.setattr(run, "told", told)
    monkeypatch.setattr(run, "prepared", lambda: None)
    return found


def options(out: Path, start: Path | None = None, gpus: int = 1) -> argparse.Namespace:
    return argparse.Namespace(out=out, minutes=30.0, gpus=gpus, start=start, more=["--batch", "0.1"])


def after(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_each_stage_goes_on_from_the_one_before(commands: list[list[str]], tmp_path: Path) -> None:
    run.run(options(tmp_path))

    *stages, join = commands
    assert [after(words, "--recipe") for words in stages] == [stage.recipe for stage in FROM_NOTHING]
    assert "--from" not in stages[0]
    for one, other in pairwise(stages):
        assert after(other, "--from") == after(one, "training.train")
    assert len({after(words, "--first") for words in stages}) == len(stages)
    assert all(words[-2:] == ["--batch", "0.1"] for words in stages)
    assert after(join, "join") == after(stages[-1], "training.train")


def test_what_has_ended_is_not_done_again(commands: list[list[str]], tmp_path: Path) -> None:
    ended = tmp_path / "0-letters"
    ended.mkdir()
    (ended / "mean-0.safetensors").touch()

    run.run(options(tmp_path))

    assert after(commands[0], "training.train") == str(tmp_path / "1-beginning")
    assert after(commands[0], "--from") == str(ended)


def test_a_reader_that_is_trained_on_keeps_its_tokenizer(commands: list[list[str]], tmp_path: Path) -> None:
    run.run(options(tmp_path / "out", start=tmp_path / "reader", gpus=2))

    *stages, join = commands
    assert [after(words, "--recipe") for words in stages] == [stage.recipe for stage in ONWARD]
    assert after(stages[0], "--from") == str(tmp_path / "reader")
    assert {after(words, "--tokenizer") for words in commands} == {str(tmp_path / "reader")}
    assert all(words[:3] == [sys.executable, "-m", "torch.distributed.run"] for words in stages)
    assert "torch.distributed.run" not in join


STAGE = """
import signal, sys, time
from pathlib import Path

signal.signal(signal.SIGINT, lambda *_: (time.sleep(0.5), Path(sys.argv[1], "kept").touch(), sys.exit()))
Path(sys.argv[1], "begun").touch()
time.sleep(60)
"""


def test_ctrl_c_waits_for_what_a_stage_keeps(tmp_path: Path) -> None:
    told = f"from training.run import told; told([{sys.executable!r}, '-c', {STAGE!r}, {str(tmp_path)!r}])"
    with subprocess.Popen([sys.executable, "-c", told], stderr=subprocess.PIPE, start_new_session=True) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate()

    assert (tmp_path / "kept").exists()
    assert said.decode().rstrip().endswith("KeyboardInterrupt")


def test_what_fails_ends_the_run() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run.told([sys.executable, "-c", "raise SystemExit(3)"])
