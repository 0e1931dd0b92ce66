"""The model that learns, a step at a time."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from training.batches import TASKS
from training.checkpoint import load_start, save_parts, weights_of
from training.encode import NOTHING
from training.feeder import Feeder
from training.group import Group
from training.model import TENSORS, Batch, Reader, to_device
from training.optimisers import Optimisers, Rates
from training.recorder import Recorder
from training.shape import READER

WARM_UP = 400  # steps over which the learning rate rises
MEAN_OF = 1000  # steps, about: the mean forgets half of what is older in 700
HOW = ("recorded", "compiled", "eager")  # of a GPU's work, the fastest first
AT_ONCE = 2  # steps that a GPU has before it
LARGEST = 1.0  # norm of all gradients together, to which larger ones are cut


class Means:
    """Of losses by task, since they were last told."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(len(TASKS), device=device)
        self._counts = torch.zeros(len(TASKS), device=device)

    def add(self, losses: Tensor, batch: Batch) -> None:
        self._sums.index_add_(0, batch.tasks, losses.detach())
        self._counts.index_add_(0, batch.tasks, (batch.targets != NOTHING).float())

    def tell(self) -> dict[str, float]:
        means = zip(TASKS, self._sums.tolist(), self._counts.tolist(), strict=True)
        found = {task: round(total / count, 4) for task, total, count in means if count}
        self._sums.zero_()
        self._counts.zero_()
        return found


class Trainer:
    """Goes on from `start`, where an earlier stage has left its files. `fall`: the share of the highest learning rates
    that this stage begins and ends with. `how`: one of HOW.
    """

    def __init__(self, rates: Rates, group: Group, start: Path | None, fall: tuple[float, float], how: str) -> None:
        self._group = group
        self._fall = fall
        self.device = group.place.device
        self.model = Reader(READER).to(self.device)
        if start is not None:
            self.model.load_state_dict(load_start(start), strict=True)
        self._weights, self._gradients = flattened(self.model)
        self._mean = self._weights.clone()
        self._averaged = 0  # steps of this stage: a mean begins with its first
        self._new_in_mean = torch.zeros((), device=self.device)
        self._optimisers = Optimisers(self.model, rates)
        self.steps = 0
        if start is not None and (start / "optimiser.pt").exists():
            kept = torch.load(start / "optimiser.pt", map_location=self.device, weights_only=True)
            self._optimisers.go_on(kept["optimisers"])
            self.steps = kept["steps"]
        if self.device.type == "cuda" and how != "eager":
            tower = self.model.visual
            for part in (tower.patch_embed, *tower.blocks, tower.merger, *self.model.model.layers):
                part.compile()
        self._recorder = Recorder(self.device, active=how == "recorded")
        self._lasting: Batch | None = None
        self._running: deque[torch.cuda.Event] = deque()
        self.means = Means(self.device)

    def share(self, done: float) -> float:
        """Of the highest learning rates, after `done` of this stage."""
        rising = min(1.0, (self.steps + 1) / WARM_UP)
        begin, end = self._fall
        return rising * (begin + (end - begin) * min(1.0, done))

    def step(self, batch: Batch, done: float) -> None:
        self._optimisers.set_share(self.share(done))
        self._averaged += 1
        self._new_in_mean.fill_(1 / min(MEAN_OF, self._averaged))
        own = self._on_lasting_tensors(batch)
        self._recorder.do((own.longest_picture, own.longest_text), lambda: self._find_gradients(own))
        self._group.average(self._gradients)
        self._recorder.do("update", self._update)
        self.steps += 1
        if self.device.type == "cuda":  # a host that runs far ahead would choose from batches of long ago
            self._running.append(torch.cuda.current_stream().record_event())
            if len(self._running) > AT_ONCE:
                self._running.popleft().synchronize()

    def _on_lasting_tensors(self, batch: Batch) -> Batch:
        """The same batch, in the tensors that a recorded step reads."""
        if self.device.type != "cuda":
            return batch
        if self._lasting is None:
            self._lasting = copy.deepcopy(batch)
        for name in TENSORS:
            getattr(self._lasting, name).copy_(getattr(batch, name))
        return replace(self._lasting, longest_picture=batch.longest_picture, longest_text=batch.longest_text)

    def _find_gradients(self, batch: Batch) -> None:
        self._gradients.zero_()
        losses = self.losses(batch)
        (losses.sum() / (batch.targets != NOTHING).sum().clamp(min=1)).backward()  # type: ignore[no-untyped-call]
        self.means.add(losses, batch)

    def _update(self) -> None:
        self._gradients.mul_((LARGEST / (self._gradients.norm() + 1e-6)).clamp(max=1.0))
        self._optimisers.step()
        self._mean.lerp_(self._weights, self._new_in_mean)

    def losses(self, batch: Batch) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model.losses(batch)

    def save(self, out: Path) -> None:
        """What a later stage goes on with."""
        save_parts(weights_of(self.model), out, "last")
        torch.save({"optimisers": self._optimisers.state(), "steps": self.steps}, out / "optimiser.pt")

    def take_mean(self) -> None:
        """The end of training: the weights are their mean from now on."""
        self._weights.copy_(self._mean)

    def save_mean(self, out: Path) -> None:
        """What is the result, after `take_mean`."""
        save_parts(weights_of(self.model), out, "mean")

    @torch.no_grad()
    def held_out(self, feeder: Feeder, batches: int) -> dict[str, float]:
        """Losses by task."""
        means = Means(self.device)
        with torch.compiler.set_stance("force_eager"):  # compiling takes longer than these few
            for _ in range(batches):
                batch = feeder.take(partial(to_device, device=self.device))
                means.add(self.losses(batch), batch)
        return means.tell()


def flattened(model: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """All weights in one tensor, and all gradients, of which the model's own are views from now on."""
    parts = list(model.parameters())
    weights = torch.cat([part.detach().flatten() for part in parts])
    gradients = torch.zeros_like(weights)
    sizes = [part.numel() for part in parts]
    views = torch.split(weights, sizes), torch.split(gradients, sizes)
    for part, weight, gradient in zip(parts, *views, strict=True):
        part.data = weight.view_as(part)
        part.grad = gradient.view_as(part)
    return weights, gradients
