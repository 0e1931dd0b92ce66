"""A document of one column, read from top to bottom."""

from __future__ import annotations

import random

from training.dialogues.asking import system
from training.render import letters, notes, receipts
from training.render.documents import draft, finish
from training.render.drafts import Layout
from training.samples import Sample, Turn
from training.world import Split, World

_LAYOUTS: dict[Split, tuple[Layout, ...]] = {
    "train": (receipts.TILL, receipts.SHOP, receipts.RESTAURANT, letters.HEAD, notes.NOTE, letters.LABEL),
    "held-out": (receipts.SUMS_FIRST, receipts.CAFE, notes.MEMO),
}
WISHES: dict[Split, tuple[str, ...]] = {
    "train": (
        "Read this {d}.", "Read the {d}.", "Read this.", "What does this {d} say?", "Read it line by line.",
        "Write down everything on this {d}.", "Transcribe this {d}.", "Read the whole {d}.", "Read all lines.",
        "Copy the text of this {d}.", "What is written here?", "Give me all the text.", "Read everything.",
        "Please read this {d}.", "Read this {d} from top to bottom.", "Text of this {d}?",
    ),
    "held-out": (
        "Type out what this {d} says.", "Please write out all that is printed.", "Which text is on this {d}?",
        "Read me the {d}, every line of it.",
    ),
}  # fmt: skip


def read_whole(rng: random.Random, world: World) -> Sample:
    """The answer has the lines as printed; what stands apart in one line is joined by a space."""
    made = draft(rng, world, _LAYOUTS[world.split])
    shown = finish(rng, made)
    wish = rng.choice(WISHES[world.split]).format(d=shown.kind)
    turns = (Turn("user", wish, (shown.pixels,)), Turn("assistant", "\n".join(shown.lines)))
    return Sample("read", (*system(rng, world.split), *turns))
