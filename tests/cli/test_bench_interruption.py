"""A bench that is stopped: every finished row is told as it comes, and again in the table and the file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from stand_in_server import DONE, Answer, standing_in

from upright.cli.interruption import Interrupted, interruptible

Stopped = tuple[int, str, dict[str, Any]]


def stopped_after(first: str, number: signal.Signals, file: Path, *arguments: str) -> Stopped:
    """Exit code, standard output and file of a bench that gets a signal once the row that begins with `first` is told.

    The signal goes to its whole process group, as a terminal's does.
    """
    command = [sys.executable, "-m", "upright", "bench", *arguments, "--json", str(file)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        assert process.stdout is not None and process.stderr is not None
        told = ""
        while not (line := process.stderr.readline()).startswith(first):
            told += line
            assert line, told
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number)
        errors = process.stderr.read()
        output = process.stdout.read()
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == f"upright: stopped by {number.name}"
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    return process.returncode, output, json.loads(file.read_text())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_of_a_server_what_was_finished_is_kept(number: signal.Signals, code: int, tmp_path: Path) -> None:
    end = threading.Event()

    def answer(body: dict[str, Any]) -> Answer:
        if len(body["messages"][0]["content"]) > 1:
            end.wait()
        return DONE

    with standing_in(answer) as server:
        arguments = ("--http", server.url, "--only", "1 text,1 page,crops")
        found, output, file = stopped_after("1 text stream: 1 of 1", number, tmp_path / "x.json", *arguments)
        end.set()
    assert found == code
    assert any(line.startswith("1 text stream ") for line in output.splitlines())
    assert "not finished: 1 page, first token; 256 crops, 64 at once" in output
    assert file["complete"] is False
    assert [row["load"] for row in file["rows"]] == ["1 text stream"]


def test_of_an_engine_what_was_finished_is_kept(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    model = str(tiny_checkpoint("qwen2"))
    arguments = (model, "--device", "cpu", "--max-model-len", "512", "--only", "decode")
    code, output, file = stopped_after("decode 1: ", signal.SIGTERM, tmp_path / "x.json", *arguments)
    assert code == 143
    assert any(line.startswith("decode 1 ") for line in output.splitlines())
    assert "not finished: " in output
    assert (file["complete"], file["rows"][0]["case"]) == (False, "decode 1")


@pytest.fixture
def handlers() -> Iterator[tuple[Any, Any]]:
    """Those of SIGINT and SIGTERM, which are there again when the test is over."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield before
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def test_a_signal_ends_the_work_and_those_after_it_are_ignored(handlers: tuple[Any, Any]) -> None:
    with pytest.raises(Interrupted) as caught, interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert (caught.value.exit_code, str(caught.value)) == (143, "stopped by SIGTERM")
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)


def test_a_signal_that_comes_out_as_another_error_is_one_all_the_same(handlers: tuple[Any, Any]) -> None:
    with pytest.raises(Interrupted, match="SIGINT"), interruptible():
        try:
            signal.raise_signal(signal.SIGINT)
        except Interrupted as error:
            raise ImportError("no such module") from error


def test_without_a_signal_all_is_as_before(handlers: tuple[Any, Any]) -> None:
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is not handlers[0]
    with pytest.raises(OSError, match="broken"), interruptible():
        raise OSError("broken")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
