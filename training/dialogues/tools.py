"""Values that are saved by a call of `save_answer`, and questions that need no call although it is offered.

After the tool's result the assistant closes with "Saved: VALUE", the value as printed and nothing behind it, so that
a full stop is never taken for a part of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.dialogues.asking import Asked, ask_for, ask_missing, pick, system
from training.dialogues.offers import SAVE, offered
from training.dialogues.phrases import ENDINGS
from training.render.documents import LAYOUTS, draft, finish
from training.render.fields import Document, Field
from training.render.notes import MEMO, NOTE
from training.samples import Call, Sample, Turn
from training.world import Split, World

CLOSING = "Saved: {value}"
UNASKED, ABSENT, LINES = 0.25, 0.06, 0.25  # shares: no call asked for; not on the picture; lines of text, no document
COUNTS = {1: 55, 2: 20, 3: 15, 4: 10}  # things that are asked for one after the other, in training, and how often

# {t} is what to save, such as "the invoice number"; {q} a whole question.
WISHES: dict[Split, tuple[str, ...]] = {
    "train": (
        "Read {t} and save it.", "Read {t} and save it with the tool.", "Save {t}.", "Save {t} with save_answer.",
        "Save {t} with the tool.", "Find {t} and save it.", "Please save {t}.", "Use save_answer to save {t}.",
        "Read {t} and call save_answer with it.", "Call save_answer with {t}.", "Look up {t}, then save it.",
        "{q} Save the answer.", "{q} Save it with the tool.", "{q} Use the tool to save the answer.", "{q} Save it.",
        "{q} Call save_answer with the answer.", "Extract {t} and save the answer.", "Can you save {t}?",
        "I need {t} saved.", "Use the tool to save {t}.", "Read {t}. Then call save_answer.",
    ),
    "held-out": (
        "Please read {t} and then save it for me.", "{q} Please save what you find.", "Let save_answer have {t}.",
        "Take {t} from the picture and save it by the tool.", "{q} Then save that.",
    ),
}  # fmt: skip
RESULTS: dict[Split, tuple[str, ...]] = {
    "train": ("saved", "Saved.", "done", "ok", "OK", '{"ok": true}', '{"saved": true}', '{"status": "ok"}',
              '{"status": "saved"}', '{"result": "saved"}', "true", "null", "1", '{"ok": true, "id": 7}',
              "Answer saved.", '{"saved": "VALUE"}', "saved VALUE"),
    "held-out": ("stored", '{"success": true}', "Done.", '{"error": null}', '{"answer": "VALUE", "saved": true}'),
}  # fmt: skip


@dataclass(frozen=True)
class _Wish:
    """What a user says, and what is to be answered, or saved."""

    text: str
    answer: str
    saved: bool


def save_answer(rng: random.Random, world: World) -> Sample:
    split = world.split
    shown = _picture(rng, world)
    count = rng.choices(tuple(COUNTS), tuple(COUNTS.values()))[0] if split == "train" else 1
    wishes = [_wished(rng, world, shown, field) for field in pick(rng, shown, count, lines=False)]
    turns = list(system(rng, split))
    for index, wish in enumerate(wishes):
        turns.append(Turn("user", wish.text, () if index else (shown.pixels,)))
        turns += _saved(rng, wish.answer, split) if wish.saved else [Turn("assistant", wish.answer)]
    return Sample("tool", tuple(turns), offered(rng, split))


def _wished(rng: random.Random, world: World, shown: Document, field: Field) -> _Wish:
    missing = rng.random() < ABSENT
    asked = ask_missing(rng, shown, world) if missing else ask_for(rng, shown, field, world.split)
    called = rng.random() >= UNASKED
    text = _wish(rng, asked, world.split) if called else asked.question
    return _Wish(text, asked.answer, called and not missing)


def _picture(rng: random.Random, world: World) -> Document:
    """One on which something stands in a single line."""
    notes = (NOTE,) if world.split == "train" else (MEMO,)
    layouts = notes if rng.random() < LINES else LAYOUTS[world.split]
    while True:
        made = draft(rng, world, layouts)
        if any("\n" not in field.value for field in made.fields):
            return finish(rng, made)


def _wish(rng: random.Random, asked: Asked, split: Split) -> str:
    question = asked.question
    for ending in ENDINGS[split]:
        question = question.removesuffix(ending)
    wishes = [wish for wish in WISHES[split] if "{q}" not in wish or question.endswith("?")]
    return rng.choice(wishes).format(t=asked.name, q=question)


def _saved(rng: random.Random, value: str, split: Split) -> list[Turn]:
    return [
        Turn("assistant", "", calls=(Call(SAVE, {"answer": value}),)),
        Turn("tool", rng.choice(RESULTS[split]).replace("VALUE", value)),
        Turn("assistant", CLOSING.format(value=value)),
    ]
