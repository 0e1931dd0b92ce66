"""Questions for what a document says: the answer is the value as printed, or that it is not there."""

from __future__ import annotations

import random

from training.dialogues.asking import Asked, ask_for, ask_missing, pick, system
from training.render.documents import document
from training.render.fields import Document
from training.samples import Sample, Turn
from training.world import Split, World

# Of all questions. One who is unsure of a value has many to say and only one way to say that there is none, so it is
# said too often even where it is taught as seldom as here.
ABSENT: dict[Split, float] = {"train": 0.03, "held-out": 0.12}
# Questions of a conversation, and how often there are so many: a picture costs much more than a question.
COUNTS = {1: 35, 2: 15, 3: 15, 4: 13, 5: 12, 6: 10}
TWICE = 0.3  # of conversations that are held out have two questions, and no other has more than one


def ask_field(rng: random.Random, world: World) -> Sample:
    shown = document(rng, world)
    turns = list(system(rng, world.split))
    for index, asked in enumerate(_questions(rng, shown, world)):
        turns.append(Turn("user", asked.question, () if index else (shown.pixels,)))
        turns.append(Turn("assistant", asked.answer))
    return Sample("field", tuple(turns))


def _questions(rng: random.Random, shown: Document, world: World) -> list[Asked]:
    return [
        ask_missing(rng, shown, world)
        if rng.random() < ABSENT[world.split]
        else ask_for(rng, shown, field, world.split)
        for field in pick(rng, shown, _count(rng, world.split))
    ]


def _count(rng: random.Random, split: Split) -> int:
    if split == "held-out":
        return 2 if rng.random() < TWICE else 1
    return rng.choices(tuple(COUNTS), tuple(COUNTS.values()))[0]
