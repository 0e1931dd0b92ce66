"""The console script. What a command needs takes a moment to import, in which a person may have changed their mind."""

import errno
import os
import sys

from upright.cli.complaint import EXIT_FAILED, complain
from upright.cli.leaving import leaving_at_once


def run() -> None:
    """The `upright` command."""
    with leaving_at_once():
        from upright.cli.commands import app
    try:
        app()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        complain(f"the disk is full, so that no more can be written{_file_of(error)}; make room, and run this again")
        # what standard output holds has nowhere to go, and would be tried again at the interpreter's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)


def _file_of(error: OSError) -> str:
    return f" to {error.filename}" if error.filename is not None else ""
