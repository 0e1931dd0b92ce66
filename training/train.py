"""Trains the reader for some minutes, from nothing or from where an earlier stage has left it.

    python -m training.train OUT --tokenizer DIRECTORY [--fonts DIRECTORY] [--texts DIRECTORY] [--minutes 9]
                                 [--from DIRECTORY] [--recipe whole] [--fall 1 0]

OUT gets the weights of the last step and their mean over the last thousand or so, in parts (`training.checkpoint`),
the state of the optimiser, and log.jsonl; the last weights are saved every two minutes besides. Ctrl-C ends a stage as
if its time were up. With --fall 1 0 the learning rates fall from their highest to nothing over the whole of the stage;
two stages may share the way, with --fall 1 0.5 and --fall 0.5 0. With several GPUs: `torchrun --nproc-per-node 2 -m
training.train …`, each with --processes of its own; a step learns from a batch of each.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from training.ahead import Ahead
from training.batches import Arrays, draw, filled, pack
from training.encode import Encoder
from training.feeder import Feeder
from training.fonts import DebianFonts, FontsMissing
from training.group import Group, Place
from training.optimisers import Rates
from training.recipe import RECIPES
from training.reuse import reused
from training.shape import READER
from training.texts import EnglishTexts, TextsMissing
from training.trainer import HOW, Trainer
from training.world import Split, World

TOLD_EVERY = 100  # steps
CLOCK_EVERY = 20  # steps: all processes go by the first one's clock
SAVED_EVERY = 120.0  # seconds: a machine that is lost costs no more
HELD_OUT = 8  # batches at the end
BATCH_BYTES = 48 * 2**20
FONTS, TEXTS = Path("training/data/fonts"), Path("training/data/texts")


class Make:
    """A place's batch k of a stage, for `Feeder`. The world is opened in the process that uses it."""

    def __init__(self, options: argparse.Namespace, split: Split, place: Place) -> None:
        self._options = options
        self._split = split
        self._place = place
        self._opened: tuple[World, Encoder] | None = None

    def __call__(self, index: int) -> Arrays:
        options = self._options
        recipe = RECIPES[options.recipe]
        if self._opened is None:
            torch.set_num_threads(1)
            shape = replace(READER, least_pixels=recipe.least_pixels)
            self._opened = open_world(options, self._split), Encoder(options.tokenizer, shape)
        world, encoder = self._opened
        rng = random.Random(f"{options.seed} {self._split} {index * self._place.size + self._place.rank}")
        spelled = recipe.spelled if self._split == "train" else 0.0
        budget = recipe.budget.times(options.batch)
        enlarged = recipe.enlarged if self._split == "train" else 0.0
        drawn = draw(rng, recipe.shares, world, encoder, budget, spelled, enlarged)
        return filled(pack(drawn, READER.merge), budget, READER.merge)


def open_world(options: argparse.Namespace, split: Split) -> World:
    return World(split, DebianFonts.load(options.fonts, split), EnglishTexts.load(options.texts, split))


def train(options: argparse.Namespace) -> None:
    place = Place.here()
    held_out = Feeder(Make(options, "held-out", place), max(1, options.processes // 8), BATCH_BYTES)
    feeder = Feeder(Make(options, "train", place), options.processes, BATCH_BYTES, options.first)
    try:
        with Group(place) as group:
            _train(options, group, feeder, held_out)
    finally:
        feeder.close()
        held_out.close()


def _train(options: argparse.Namespace, group: Group, feeder: Feeder, held_out: Feeder) -> None:
    place, device = group.place, group.place.device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    rates = Rates(options.rate, None if options.adam else options.muon_rate)
    options.out.mkdir(parents=True, exist_ok=True)
    name = "log.jsonl" if place.first else f"log-{place.rank}.jsonl"
    own = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
    with (options.out / name).open("a") as log, torch.cuda.stream(own):
        trainer = Trainer(rates, group, options.start, tuple(options.fall), options.how)

        def tell(**what: Any) -> None:
            line = json.dumps(what)
            log.write(line + "\n")
            log.flush()
            if place.first:
                print(line, flush=True)

        tell(
            parameters=READER.parameters,
            device=str(device),
            gpus=place.size,
            **{k: str(v) for k, v in vars(options).items()},
        )
        stopped = threading.Event()
        signal.signal(signal.SIGINT, lambda *_: stopped.set())
        _steps(options, group, trainer, Ahead(feeder, device), stopped, tell)
        if place.first:
            trainer.save(options.out)
        trainer.take_mean()
        if place.first:
            trainer.save_mean(options.out)
        tell(step=trainer.steps, held_out=trainer.held_out(held_out, options.held_out))


def _steps(
    options: argparse.Namespace,
    group: Group,
    trainer: Trainer,
    ahead: Ahead,
    stopped: threading.Event,
    tell: Callable[..., None],
) -> None:
    """All of a stage, told about every TOLD_EVERY."""
    batches = reused(ahead, ahead.ready, options.uses, options.seed)
    first, done = trainer.steps, 0.0
    began = told = saved = time.monotonic()
    drawn = 0
    while not options.steps or trainer.steps - first < options.steps:
        if (trainer.steps - first) % CLOCK_EVERY == 0:
            now = time.monotonic()
            done = group.told(1.0 if stopped.is_set() else (now - began) / (60 * options.minutes))
            if group.place.first and now - saved > SAVED_EVERY:
                trainer.save(options.out)
                saved = now
        if done >= 1.0:
            return
        trainer.step(next(batches), done)
        if trainer.steps % TOLD_EVERY == 0:
            losses = trainer.means.tell()
            now = time.monotonic()
            tell(
                step=trainer.steps, minutes=round(done * options.minutes, 2), rate=round(trainer.share(done), 4),
                steps_per_second=round(TOLD_EVERY / (now - told), 2), batches=ahead.taken,
                uses=round(TOLD_EVERY / max(1, ahead.taken - drawn), 2), losses=losses,
            )  # fmt: skip
            told, drawn = now, ahead.taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, default=FONTS)
    parser.add_argument("--texts", type=Path, default=TEXTS)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--steps", type=int, default=0, help="at most, of this stage; 0: as many as there is time for")
    parser.add_argument(
        "--from", dest="start", type=Path, help="where an earlier stage has left its files, or a reader"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first batch: none is used twice")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="whole")
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate, of AdamW")
    parser.add_argument("--muon-rate", type=float, default=0.01, help="and that of Muon")
    parser.add_argument("--adam", action="store_true", help="AdamW for all weights")
    parser.add_argument("--how", choices=HOW, default=HOW[0], help="a GPU does its work; a CPU knows but the last")
    parser.add_argument(
        "--fall", type=float, nargs=2, default=(1.0, 1.0), metavar=("BEGIN", "END"), help="shares of the learning rates"
    )
    parser.add_argument("--processes", type=int, default=15, help="that make batches")
    parser.add_argument(
        "--uses", type=int, default=1, help="of a batch at most, where a GPU is faster than --processes"
    )
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="batches that the end is measured on")
    parser.add_argument("--batch", type=float, default=1.0, help="share of the recipe's budget that a batch has")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        train(options)
    except (FileNotFoundError, FontsMissing, TextsMissing) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
