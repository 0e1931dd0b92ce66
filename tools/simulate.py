"""Many schedules of the supervisor's simulation: `tools/simulate.py --seeds 1000000 --jobs 8`, or one: `--replay 7`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "supervise"))

from simulation import Simulation, run_schedule

CHUNK = 500  # schedules between two signs of life


def run_chunk(first: int, last: int) -> tuple[int, Counter[str], list[str]]:
    """Schedules first … last - 1: how many, what occurred, and what failed."""
    seen: Counter[str] = Counter()
    failures = []
    for seed in range(first, last):
        try:
            seen += run_schedule(seed).seen
        except AssertionError as error:
            failures.append(str(error).splitlines()[0])
    return last - first, seen, failures


def run_many(first: int, count: int, jobs: int) -> int:
    chunks = [(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    began, done, failed = time.monotonic(), 0, 0
    seen: Counter[str] = Counter()
    with Pool(jobs) as pool:
        for ran, occurred, failures in pool.imap_unordered(_run_pair, chunks):
            done, failed = done + ran, failed + len(failures)
            seen += occurred
            for failure in failures:
                print(f"\r{failure}")
            rate = done / (time.monotonic() - began)
            print(f"\r{done:,} of {count:,} schedules, {rate:.0f}/s, {failed} failed ", end="", flush=True)
    print()
    for what, times in sorted(seen.items()):
        print(f"{times:12,}  {what}")
    return 1 if failed else 0


def _run_pair(pair: tuple[int, int]) -> tuple[int, Counter[str], list[str]]:
    return run_chunk(*pair)


def replay(seed: int) -> int:
    """Print everything that happens in one schedule."""
    simulation = Simulation(seed, keep_all=True)
    print(simulation.plan)
    failure = ""
    try:
        simulation.run()
    except AssertionError as error:
        failure = str(error).splitlines()[0]
    for when, what, arguments in simulation.trace:
        print(f"{when:10.3f}  {what % arguments}")
    print(failure or f"seed {seed}: all is well")
    return 1 if failure else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000_000, help="number of schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print the whole trace of one schedule instead")
    options = parser.parse_args()
    if options.replay is not None:
        return replay(options.replay)
    return run_many(options.first, options.seeds, options.jobs)


if __name__ == "__main__":
    sys.exit(main())
