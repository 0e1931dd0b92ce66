"""What a process holds, looked at again and again, to see whether it grows."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import asdict, dataclass, field, fields

import psutil


@dataclass(frozen=True)
class Sample:
    seconds: float  # on the monotonic clock
    rss_mib: float
    open_files: int
    sockets: int
    threads: int
    children: int


QUANTITIES = tuple(one.name for one in fields(Sample))[1:]


@dataclass
class Resources:
    process: psutil.Process
    samples: list[Sample] = field(default_factory=list)

    def look(self) -> None:
        process = self.process
        links = _links(process.pid)
        self.samples.append(
            Sample(
                time.monotonic(),
                process.memory_info().rss / 2**20,
                len(links),
                sum(link.startswith("socket:") for link in links),
                process.num_threads(),
                len(process.children(recursive=True)),
            )
        )

    def table(self, since: float, until: float) -> list[str]:
        """Lines of Markdown: mean of the first and of the last quarter of the time, and the most."""
        rows = self.flatness(since, until)
        lines = ["| front | first quarter | last quarter | most |", "|---|---|---|---|"]
        return lines + [
            f"| {name.replace('_', ' ')} | {a:.1f} | {b:.1f} | {c:.1f} |" for name, (a, b, c) in rows.items()
        ]

    def flatness(self, since: float, until: float) -> dict[str, tuple[float, float, float]]:
        chosen = [sample for sample in self.samples if since <= sample.seconds <= until]
        if not chosen:
            return {}
        quarter = (until - since) / 4
        first = [sample for sample in chosen if sample.seconds <= since + quarter] or chosen[:1]
        last = [sample for sample in chosen if sample.seconds >= until - quarter] or chosen[-1:]
        return {
            name: (_mean(first, name), _mean(last, name), max(getattr(sample, name) for sample in chosen))
            for name in QUANTITIES
        }

    def plain(self) -> list[dict[str, float]]:
        return [asdict(sample) for sample in self.samples]


def _mean(samples: list[Sample], name: str) -> float:
    return statistics.fmean(getattr(sample, name) for sample in samples)


def _links(pid: int) -> list[str]:
    """What every open file of the process is."""
    folder, found = f"/proc/{pid}/fd", []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found
