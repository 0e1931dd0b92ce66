"""Questions for what a document says: the answer is the value as printed, or that it is not there."""

from __future__ import annotations

import random

from training.dialogues.asking import Asked, ask_for, ask_missing, pick, system
from training.render.documents import document
from training.render.fields import Document
from training.samples import Sample, Turn
from training.world import World

ABSENT = 0.12  # of all questions
TWICE = 0.3  # of all conversations have two


def ask_field(rng: random.Random, world: World) -> Sample:
    shown = document(rng, world)
    turns = list(system(rng, world.split))
    for index, asked in enumerate(_questions(rng, shown, world)):
        turns.append(Turn("user", asked.question, () if index else (shown.pixels,)))
        turns.append(Turn("assistant", asked.answer))
    return Sample("field", tuple(turns))


def _questions(rng: random.Random, shown: Document, world: World) -> list[Asked]:
    count = 2 if rng.random() < TWICE else 1
    fields = pick(rng, shown, count)
    return [
        ask_missing(rng, shown, world) if rng.random() < ABSENT else ask_for(rng, shown, field, world.split)
        for field in fields
    ]
