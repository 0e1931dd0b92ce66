"""The directory of a socket's name: short, private, and removed by the next front when its own was killed."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from upright.supervise import socket_directory
from upright.supervise.socket_directory import PREFIX, SocketDirectory, remove_abandoned

DIES = """
import os, signal, socket
from upright.supervise.socket_directory import SocketDirectory
made = SocketDirectory()
socket.socket(socket.AF_UNIX).bind(made.new_address().removeprefix("ipc://"))
print(made.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only place where anything is made or removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(socket_directory, "SHORT", str(tmp_path))
    monkeypatch.setattr(socket_directory, "LONGEST_PATH", 200)
    monkeypatch.chdir(tmp_path)  # whose own path may be too long for a socket's
    return tmp_path


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def test_it_is_private_and_goes_with_what_is_in_it(temporary: Path) -> None:
    made = SocketDirectory()
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert made.new_address() != made.new_address()
    bind(made.path / "name")
    made.remove()
    assert list(temporary.iterdir()) == []


def test_a_long_path_for_temporary_files_gets_a_shorter_one(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    deep = temporary / ("d" * 190)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    made = SocketDirectory()
    assert made.path.parent == temporary
    made.remove()
    assert list(deep.iterdir()) == []


def test_what_a_killed_front_left_is_removed(temporary: Path) -> None:
    environment = os.environ | {"TMPDIR": "/tmp"}  # a short path, whatever that of this test is
    killed = subprocess.run([sys.executable, "-c", DIES], env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = Path(killed.stdout.strip())
    moved = temporary / left.name  # where this test's own look finds it, and nobody else's
    left.rename(moved)
    mine = SocketDirectory()
    bind(mine.path / "name")
    remove_abandoned()
    assert list(temporary.iterdir()) == [mine.path]
    mine.remove()


def test_what_is_not_ours_stays(temporary: Path) -> None:
    (temporary / "upright-models").mkdir()
    (temporary / f"{PREFIX}file").write_text("")
    (temporary / f"{PREFIX}full").mkdir()
    (temporary / f"{PREFIX}full" / "notes").write_text("mine")
    (temporary / "elsewhere").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(temporary / "elsewhere")
    before = sorted(temporary.rglob("*"))
    remove_abandoned()
    assert sorted(temporary.rglob("*")) == before


def test_what_another_user_owns_stays(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    (temporary / f"{PREFIX}other").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_abandoned()
    assert [path.name for path in temporary.iterdir()] == [f"{PREFIX}other"]


@pytest.mark.parametrize("moment", ["before it is opened", "before it is locked"])
def test_one_that_is_taken_away_before_it_is_held_is_made_again(
    monkeypatch: pytest.MonkeyPatch, temporary: Path, moment: str
) -> None:
    """By another front that starts just then."""
    module, name = (os, "open") if moment == "before it is opened" else (socket_directory.fcntl, "flock")
    original = getattr(module, name)

    def after_another(*given: object) -> object:
        monkeypatch.setattr(module, name, original)
        remove_abandoned()
        return original(*given)

    monkeypatch.setattr(module, name, after_another)
    made = SocketDirectory()
    assert list(temporary.iterdir()) == [made.path]
    made.remove()
