"""What compute-sanitizer says at the end of a run, and what it complains of. Needs no GPU and no sanitizer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MEMCHECK = re.compile(r"^=+ ERROR SUMMARY: (\d+) errors?$", re.MULTILINE)
_RACECHECK = re.compile(r"^=+ RACECHECK SUMMARY: \d+ hazards? \w+ \((\d+) errors?, (\d+) warnings?\)", re.MULTILINE)
_LINE = re.compile(r"^=========(?: ?)(?P<indent> *)(?P<text>.*)$")
_SITE = re.compile(r"^(at|and \w+ access at) ")  # of the lines under a complaint, those that say where
# Of one instruction with itself: several threads store what should be copies of one value, as in Triton's reductions
_COPIES = re.compile(r"^Error: Race reported between (Write access at .+) and \1$")
_PLACE = re.compile(r" (?:R|W)\w+ access at \S+(?: in (?P<file>[\w.]+):(?P<line>\d+))?")
_VARIES = re.compile(r" \[\d+ hazards?\]")
_TOLD = ("COMPUTE-SANITIZER", "ERROR SUMMARY", "RACECHECK SUMMARY")
_TROUBLE = ("Internal", "Error", "Program hit", "Sanitizer")  # of complaints without a place: the tool's own


Spans = Mapping[str, Sequence[tuple[int, int]]]  # by the name of a file: first and last lines


@dataclass(frozen=True)
class Summary:
    """Of a tool that has not come to its end, as far as it came."""

    errors: int
    warnings: int
    complaints: tuple[str, ...] = ()  # each kind and place once, in order
    copies: int = 0  # of the errors, those of one instruction with itself
    handed: int = 0  # of the errors, those between accesses in `handovers`
    ended: bool = True


def read_log(text: str, handovers: Spans | None = None) -> Summary:
    """`handovers`: where a kernel gives its warps their work."""
    found = _RACECHECK.findall(text)
    counts = [(int(errors), int(warnings)) for errors, warnings in found]
    counts += [(int(errors), 0) for errors in _MEMCHECK.findall(text)]
    told = complaints(text)
    warnings = sum(complaint.startswith("Warning") for complaint in told)
    return Summary(
        sum(errors for errors, _ in counts) if counts else len(told) - warnings,
        sum(warnings for _, warnings in counts) if counts else warnings,
        tuple(dict.fromkeys(told)),
        sum(_COPIES.match(complaint) is not None for complaint in told),
        sum(_lies_in(handovers or {}, complaint) for complaint in told),
        bool(counts),
    )


def _lies_in(spans: Spans, complaint: str) -> bool:
    """Whether every access of a race is in one of `spans`."""
    places = list(_PLACE.finditer(complaint)) if complaint.startswith("Error: Race") else []
    return bool(places) and all(
        any(first <= int(place["line"] or 0) <= last for first, last in spans.get(place["file"] or "", ()))
        for place in places
    )


def complaints(text: str) -> list[str]:
    """Headings with the places under them: `Invalid __global__ write of size 1 bytes at _write+0x70 in a.py:14`."""
    found: list[str] = []
    block: list[str] = []
    for line in [*text.splitlines(), "========="]:
        match = _LINE.match(line)
        if match is None:
            continue
        if match["indent"]:
            if block and _SITE.match(match["text"]):
                block.append(_VARIES.sub("", match["text"]))
            continue
        if len(block) > 1 or (block and block[0].startswith(_TROUBLE)):
            found.append(" ".join(block))
        told = match["text"]
        block = [_VARIES.sub("", told)] if told and not told.startswith(_TOLD) else []
    return found
