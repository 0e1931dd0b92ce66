"""Finds, in what Python and faulthandler write about a death, the one line to look at first."""

from __future__ import annotations

import re
from dataclasses import dataclass

_THREAD = re.compile(r"^(Current thread|Thread|Stack) .*\(most recent call first\):", re.MULTILINE)
_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+|\?+),? in (.+)$', re.MULTILINE)
_INSTALLED_UNDER = re.compile(r".*/(?:site-packages|dist-packages|src|lib/python3\.\d+)/")


@dataclass(frozen=True)
class Frame:
    """`path` begins at the package, so that it reads the same on every machine."""

    path: str
    line: str  # "?" where the interpreter did not know
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} ({self.function})"

    @property
    def package(self) -> str:
        return self.path.split("/", 1)[0].removesuffix(".py")


def innermost_frame(stacks: str, packages: tuple[str, ...] = ()) -> Frame | None:
    """The innermost frame of the thread that faulthandler calls current, or of the last one it lists: the main thread.

    With `packages`, the innermost that is in one of them.
    """
    starts = list(_THREAD.finditer(stacks))
    if not starts:
        return None
    last = len(starts) - 1
    chosen = next((number for number in range(last, -1, -1) if starts[number][1] == "Current thread"), last)
    end = starts[chosen + 1].start() if chosen + 1 < len(starts) else len(stacks)
    return _first(_frames(stacks[starts[chosen].end() : end]), packages)


def raised_at(traceback: str, packages: tuple[str, ...] = ()) -> Frame | None:
    """The innermost frame of a Python traceback, whose most recent call is the last; of several, the last one's."""
    return _first(_frames(traceback.rpartition("Traceback (most recent call last):")[2])[::-1], packages)


def _frames(text: str) -> list[Frame]:
    return [Frame(_INSTALLED_UNDER.sub("", path), line, name.strip()) for path, line, name in _FRAME.findall(text)]


def _first(frames: list[Frame], packages: tuple[str, ...]) -> Frame | None:
    return next((frame for frame in frames if not packages or frame.package in packages), None)
