"""Trains the reader for some minutes, from nothing or from where an earlier stage has left it.

    python -m training.train OUT --tokenizer DIRECTORY [--fonts DIRECTORY] [--texts DIRECTORY] [--minutes 9]
                                 [--from DIRECTORY] [--recipe whole] [--decay]

OUT gets the weights of the last step and their mean over the last thousand or so, in parts (`training.checkpoint`), the
state of the optimiser, and log.jsonl. Stages before the last keep the learning rate; with --decay it falls to nothing
over the whole of the stage. With several GPUs: `torchrun --nproc-per-node 2 -m training.train …`, each with --processes
of its own; a step learns from a batch of each.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.batches import TASKS, Arrays, Budget, draw, pack
from training.checkpoint import load_parts, save_parts, weights_of
from training.encode import Encoder
from training.feeder import Feeder
from training.fonts import DebianFonts, FontsMissing
from training.group import Group, Place
from training.model import Batch, Reader, to_device
from training.muon import Muon
from training.recipe import RECIPES
from training.reuse import reused
from training.shape import READER
from training.texts import EnglishTexts, TextsMissing
from training.world import Split, World

WARM_UP = 400  # steps over which the learning rate rises
MEAN_OF = 1000  # steps, about: the mean forgets half of what is older in 700
TOLD_EVERY = 100  # steps
CLOCK_EVERY = 20  # steps: all processes go by the first one's clock
HELD_OUT = 24  # batches at the end
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
        if self._opened is None:
            torch.set_num_threads(1)
            self._opened = open_world(options, self._split), Encoder(options.tokenizer, READER)
        world, encoder = self._opened
        rng = random.Random(f"{options.seed} {self._split} {index * self._place.size + self._place.rank}")
        budget = Budget(options.patches, options.tokens)
        return pack(draw(rng, RECIPES[options.recipe], world, encoder, budget), READER.merge)


def open_world(options: argparse.Namespace, split: Split) -> World:
    return World(split, DebianFonts.load(options.fonts, split), EnglishTexts.load(options.texts, split))


def ahead(feeder: Feeder, device: torch.device) -> Iterator[Batch]:
    """Batches on the device, copied while it computes. Raises: RuntimeError."""
    ready: queue.Queue[Batch | RuntimeError] = queue.Queue(maxsize=2)
    copying = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def fill() -> None:
        try:
            while True:
                with torch.cuda.stream(copying):
                    batch = feeder.take(partial(to_device, device=device))
                if copying is not None:
                    copying.synchronize()
                ready.put(batch)
        except RuntimeError as error:
            ready.put(error)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        batch = ready.get()
        if isinstance(batch, RuntimeError):
            raise batch
        if copying is not None:
            for field in fields(batch):  # whose memory may be written to again when they have been used here
                part = getattr(batch, field.name)
                if isinstance(part, torch.Tensor):
                    part.record_stream(torch.cuda.current_stream(device))
        yield batch


class Means:
    """Of losses by task, since they were last told."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(len(TASKS), device=device)
        self._counts = torch.zeros(len(TASKS), device=device)

    def add(self, losses: Tensor, tasks: Tensor) -> None:
        self._sums.index_add_(0, tasks, losses.detach())
        self._counts.index_add_(0, tasks, torch.ones_like(losses))

    def tell(self) -> dict[str, float]:
        means = zip(TASKS, self._sums.tolist(), self._counts.tolist(), strict=True)
        found = {task: round(total / count, 4) for task, total, count in means if count}
        self._sums.zero_()
        self._counts.zero_()
        return found


def make_optimisers(model: Reader, options: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Matrices of layers move as Muon says, unless --adam; all else as AdamW does."""
    named = dict(model.named_parameters())
    inner = [name for name, part in named.items() if part.dim() == 2 and "embed" not in name and not options.adam]
    rest = [name for name in named if name not in set(inner)]
    groups = [
        {"params": [named[name] for name in rest if named[name].dim() > 1], "weight_decay": 0.05},
        {"params": [named[name] for name in rest if named[name].dim() <= 1], "weight_decay": 0.0},
    ]
    fused = next(model.parameters()).is_cuda
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.98), fused=fused)]
    if inner:
        made.append(Muon([named[name] for name in inner], lr=options.muon_rate, weight_decay=0.05))
    for optimiser in made:
        for group in optimiser.param_groups:
            group["highest"] = group["lr"]
    return made


class Trainer:
    def __init__(self, options: argparse.Namespace, group: Group) -> None:
        self.options = options
        self.group = group
        device = group.place.device
        self.model = Reader(READER).to(device)
        if options.start is not None:
            self.model.load_state_dict(load_parts(options.start, "last"), strict=True)
        self.optimisers = make_optimisers(self.model, options)
        self.steps = 0
        if options.start is not None and (options.start / "optimiser.pt").exists():
            kept = torch.load(options.start / "optimiser.pt", map_location=device, weights_only=True)
            for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
                optimiser.load_state_dict(state)
            self.steps = kept["steps"]
        if device.type == "cuda" and not options.eager:
            for layer in (*self.model.visual.blocks, *self.model.model.layers):
                layer.compile(dynamic=True)
        self.mean = [part.detach().clone() for part in self.model.parameters()]
        self.averaged = 0  # steps of this stage: a mean begins with its first
        self.means = Means(device)
        self.device = device

    def share(self, done: float) -> float:
        """Of the highest learning rates, after `done` of this stage's minutes."""
        rising = min(1.0, (self.steps + 1) / WARM_UP)
        return rising * (max(0.0, 1.0 - done) if self.options.decay else 1.0)

    def step(self, batch: Batch, done: float) -> None:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["highest"] * self.share(done)
        losses, tasks = self.losses(batch)
        losses.mean().backward()  # type: ignore[no-untyped-call]
        self.group.average_gradients(list(self.model.parameters()))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.averaged += 1
        share = 1 / min(MEAN_OF, self.averaged)
        torch._foreach_lerp_(self.mean, [part.detach() for part in self.model.parameters()], share)
        self.means.add(losses, tasks)
        self.steps += 1

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model.losses(batch)

    @torch.no_grad()
    def held_out(self, feeder: Feeder, batches: int) -> dict[str, float]:
        means = Means(self.device)
        for _ in range(batches):
            means.add(*self.losses(feeder.take(partial(to_device, device=self.device))))
        return means.tell()

    def save(self, out: Path) -> None:
        last = weights_of(self.model)
        save_parts(last, out, "last")
        save_parts(dict(zip(last, self.mean, strict=True)), out, "mean")
        states = [optimiser.state_dict() for optimiser in self.optimisers]
        torch.save({"optimisers": states, "steps": self.steps}, out / "optimiser.pt")


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
    trainer = Trainer(options, group)
    options.out.mkdir(parents=True, exist_ok=True)
    began = told = time.monotonic()
    waited = patches = tokens = 0.0
    first = trainer.steps
    with (options.out / ("log.jsonl" if place.first else f"log-{place.rank}.jsonl")).open("a") as log:

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
        batches = reused(ahead(feeder, device), options.uses, options.seed)
        done = 0.0
        while not options.steps or trainer.steps - first < options.steps:
            if (trainer.steps - first) % CLOCK_EVERY == 0:
                done = group.told((time.monotonic() - began) / (60 * options.minutes))
            if done >= 1.0:
                break
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            trainer.step(batch, done)
            patches, tokens = patches + len(batch.patches), tokens + len(batch.ids)
            if trainer.steps % TOLD_EVERY == 0:
                losses = trainer.means.tell()
                now = time.monotonic()
                tell(
                    step=trainer.steps, batches=options.first + (trainer.steps - first) // options.uses,
                    minutes=round(done * options.minutes, 2),
                    rate=round(trainer.share(done), 4), steps_per_second=round(TOLD_EVERY / (now - told), 2),
                    waited=round(waited / (now - told), 3), patches_per_second=round(patches / (now - told)),
                    tokens_per_second=round(tokens / (now - told)), losses=losses,
                )  # fmt: skip
                told, waited, patches, tokens = now, 0.0, 0.0, 0.0
        if place.first:
            trainer.save(options.out)
        for name, part in zip(weights_of(trainer.model), trainer.mean, strict=True):
            trainer.model.get_parameter(name).data.copy_(part)
        tell(step=trainer.steps, held_out=trainer.held_out(held_out, options.held_out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, default=FONTS)
    parser.add_argument("--texts", type=Path, default=TEXTS)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--steps", type=int, default=0, help="at most, of this stage; 0: as many as there is time for")
    parser.add_argument("--from", dest="start", type=Path, help="where an earlier stage has left its files")
    parser.add_argument("--first", type=int, default=0, help="number of the first batch: none is used twice")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="whole")
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate, of AdamW")
    parser.add_argument("--muon-rate", type=float, default=0.02, help="and that of Muon")
    parser.add_argument("--adam", action="store_true", help="AdamW for all weights")
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    parser.add_argument("--decay", action="store_true", help="let the learning rate fall to nothing in this stage")
    parser.add_argument("--processes", type=int, default=15, help="that make batches")
    parser.add_argument("--uses", type=int, default=1, help="of each batch, where a GPU is faster than --processes")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="batches that the end is measured on")
    parser.add_argument("--patches", type=int, default=48_000, help="of a batch")
    parser.add_argument("--tokens", type=int, default=24_000, help="of a batch")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        train(options)
    except (FileNotFoundError, FontsMissing, TextsMissing) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
