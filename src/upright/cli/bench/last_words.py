"""What a child process wrote to standard error, passed on as it came, and its last line kept for an error."""

from __future__ import annotations

import subprocess
import sys
import threading


class LastWords:
    """Of a child that was started with `stderr=PIPE`."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._line = ""
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def read(self) -> str:
        """Once the child has ended."""
        self._thread.join()
        return self._line or "it said nothing"

    def _pass_on(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            text = line.decode(errors="replace")
            sys.stderr.write(text)
            sys.stderr.flush()
            self._line = text.strip() or self._line
