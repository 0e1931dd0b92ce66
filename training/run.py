"""All of the reader's training with one command: the data that is missing, stage after stage, and the finished reader.

    python -m training.run OUT [--minutes 28] [--gpus N] [--from READER] [-- more options of `training.train`]

Each stage is a command that is told, with files of its own in OUT. Those that have ended are not done again, so that a
run that was broken off goes on where it was. --minutes are of the clock, for all that is left; with --from, a finished
reader is trained on, and reading is not begun anew. OUT/reader is what comes of it.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from training.train import FONTS, TEXTS

DATA = FONTS.parent
TOKENIZER = DATA / "tokenizer"
BATCHES = 100_000  # more than a stage draws: none sees what another has seen
BESIDE = 0.4  # minutes of a stage in which nothing is learnt
LEAST = 0.1  # minutes


@dataclass(frozen=True)
class Stage:
    recipe: str
    minutes: float
    fall: tuple[float, float] = (1.0, 1.0)


FROM_NOTHING = (
    Stage("letters", 1.0), Stage("beginning", 4.0), Stage("layouts", 7.0),
    Stage("whole", 8.0, (1.0, 0.5)), Stage("whole", 8.0, (0.5, 0.0)),
)  # fmt: skip
ONWARD = (Stage("whole", 9.0, (0.7, 0.45)), Stage("whole", 9.0, (0.45, 0.2)), Stage("whole", 8.0, (0.2, 0.0)))


def minutes_of(stages: Sequence[Stage], left: float) -> float:
    """For the first of `stages`, where there are so many minutes left for all of them."""
    share = stages[0].minutes / sum(stage.minutes for stage in stages)
    return max(LEAST, left * share - BESIDE)


def directory_of(out: Path, number: int, stage: Stage) -> Path:
    return out / f"{number}-{stage.recipe}"


def has_ended(directory: Path) -> bool:
    return any(directory.glob("mean-*.safetensors"))


def command(
    stage: Stage, number: int, out: Path, before: Path | None, minutes: float, tokenizer: Path, more: Sequence[str]
) -> list[str]:
    """The options of `training.train`."""
    start = ["--from", str(before)] if before is not None else []
    return [
        str(directory_of(out, number, stage)), "--tokenizer", str(tokenizer), "--recipe", stage.recipe,
        "--minutes", f"{minutes:.2f}", "--fall", *map(str, stage.fall), "--first", str(number * BATCHES),
        "--uses", "8", *start, *more,
    ]  # fmt: skip


def prepared() -> None:
    """The data that is not there yet is fetched and made. Raises: CalledProcessError."""
    for directory, module, more in (
        (FONTS, "training.fonts", []), (TEXTS, "training.texts", []),
        (TOKENIZER, "training.tokenizer", ["--texts", str(TEXTS)]),
    ):  # fmt: skip
        if not directory.exists():
            told([sys.executable, "-m", module, str(directory), *more])


def told(words: Sequence[str]) -> None:
    """Done, after it was said. Raises: CalledProcessError."""
    print(shlex.join(words), flush=True)
    with subprocess.Popen(words) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the process was told too: a stage keeps what it has learnt, which takes a while
            process.wait()
            raise
    if code != 0:
        raise subprocess.CalledProcessError(code, words)


def run(options: argparse.Namespace) -> None:
    """Raises: CalledProcessError."""
    prepared()
    stages = ONWARD if options.start is not None else FROM_NOTHING
    # a reader that is trained on keeps its own tokenizer, which the data's may have left behind
    tokenizer = options.start if options.start is not None else TOKENIZER
    program = [sys.executable, "-m", "training.train"]
    if options.gpus > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(options.gpus)]
        program = [sys.executable, *launcher, "-m", "training.train"]
    end = time.monotonic() + 60 * options.minutes
    before = options.start
    for number, stage in enumerate(stages):
        directory = directory_of(options.out, number, stage)
        if not has_ended(directory):
            minutes = minutes_of(stages[number:], (end - time.monotonic()) / 60)
            told([*program, *command(stage, number, options.out, before, minutes, tokenizer, options.more)])
        before = directory
    join = ["join", str(before), str(options.out / "reader"), "--tokenizer", str(tokenizer)]
    told([sys.executable, "-m", "training.checkpoint", *join])


def main() -> None:
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--gpus", type=int, default=max(1, torch.cuda.device_count()))
    parser.add_argument("--from", dest="start", type=Path, help="a finished reader, such as src/upright/reader")
    options = parser.parse_args(given[:end])
    options.more = given[end + 1 :]
    try:
        run(options)
    except subprocess.CalledProcessError as error:
        sys.exit(f"ended with code {error.returncode}: {shlex.join(error.cmd)}")
    except KeyboardInterrupt:
        sys.exit(
            "broken off: the stage that was under way keeps what it has learnt, and the same command goes on behind it"
        )


if __name__ == "__main__":
    main()
