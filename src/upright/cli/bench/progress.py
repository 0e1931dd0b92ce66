"""What a person sees before the table: on a terminal what is being measured, elsewhere a line for each finished row."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console


class Progress:
    """Use as a context manager. Nothing goes to standard output where that is a pipe or a file: tables do."""

    def __init__(self, output: Console) -> None:
        self._console = output if output.is_terminal else Console(stderr=True)
        self._status = self._console.status("starting") if self._console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def stage(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text)

    def finished(self, line: str) -> None:
        """A row, which a terminal shows in the table."""
        if self._status is None:
            self.note(line)

    def note(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
