"""Where a socket's name lies until the engine has connected: a private directory, and nobody's once its front is gone.

A front that is killed in those moments leaves the directory behind. So each holds a lock on its own, which the kernel
gives back however it ends, and the next front to start removes those that nobody holds.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

PREFIX = "upright-socket-"
SHORT = "/tmp"
LONGEST_PATH = 80  # bytes; the kernel allows 107 for the whole address
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK)  # of a file system that has none


class SocketDirectory:
    """A directory that only this user may enter, with a path short enough for a socket's address."""

    def __init__(self) -> None:
        """Raises: OSError."""
        held = None
        while held is None:
            self.path = _make()
            held = _hold(self.path)
        self._lock = held

    def new_address(self) -> str:
        """An address that nobody can guess."""
        return f"ipc://{self.path}/{secrets.token_hex(8)}"

    def remove(self) -> None:
        """Remove it with what is in it. Call once."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_abandoned() -> None:
    """Remove what fronts that were killed have left: this user's, held by nobody, with nothing but sockets in it."""
    for parent in {tempfile.gettempdir(), SHORT}:
        try:
            names = [name for name in os.listdir(parent) if name.startswith(PREFIX)]
        except OSError as error:
            log.debug("%s is not looked through for what killed servers have left: %s", parent, error)
            continue
        for name in names:
            try:
                _remove_if_abandoned(Path(parent) / name)
            except OSError as error:  # held, somebody else's, or gone meanwhile
                log.debug("%s/%s stays: %s", parent, name, error)


def _remove_if_abandoned(path: Path) -> None:
    """Raises: OSError where it is held or cannot be looked at."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(directory).st_uid != os.geteuid():
            return
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        names = os.listdir(directory)
        if all(stat.S_ISSOCK(os.lstat(path / name).st_mode) for name in names):
            for name in names:
                os.unlink(name, dir_fd=directory)
            path.rmdir()
            log.info("removed %s, which a server that was killed had left", path)
    finally:
        os.close(directory)


def _make() -> Path:
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    if len(str(directory)) > LONGEST_PATH:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=SHORT))
    return directory


def _hold(path: Path) -> int | None:
    """Open the directory, with a lock where the file system has any. None: who removes abandoned ones came before."""
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if path.exists():  # under this name it is ours: nobody else makes one of it
            return directory
    except OSError as error:
        if error.errno in NO_LOCKS:
            log.debug("%s cannot be locked, and is never taken for abandoned: %s", path, error)
            return directory
        os.close(directory)
        raise
    os.close(directory)
    return None
