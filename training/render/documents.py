"""One document of any kind: its layout chosen, laid out, drawn, and worn as what people photograph or scan is."""

from __future__ import annotations

import random

from training.render import cards, forms, invoices, letters, mixtures, notes, receipts, tickets
from training.render.client import to_cells
from training.render.degrade import degrade
from training.render.drafts import Draft, Layout
from training.render.fields import TOKENS, Document, tokens
from training.render.sheets import draw
from training.world import Split, World

# As often as so many layouts of a kind: what is learnt of those does not hold for others by itself.
_MIXED, _BILLS, _RECEIPTS = 9, 3, 3
LAYOUTS: dict[Split, tuple[Layout, ...]] = {
    "train": (
        receipts.TILL, receipts.SHOP, receipts.RESTAURANT, invoices.CLASSIC, invoices.BANDED, invoices.PLAIN,
        forms.COLUMN, forms.GRID, forms.TWO_SIDES, letters.HEAD, notes.NOTE, letters.LABEL, tickets.PASS,
        tickets.COUPON, cards.IDENTITY, cards.MEMBER, cards.WORK, cards.SLIP, *_MIXED * (mixtures.mixed,),
        *_BILLS * (mixtures.mixed_bill,), *_RECEIPTS * (receipts.mixed,),
    ),
    "held-out": (
        receipts.SUMS_FIRST, receipts.CAFE, invoices.SIDE, forms.TABLE, forms.UNDER, tickets.EVENT, cards.BADGE,
        cards.CHEQUE, notes.MEMO,
    ),
}  # fmt: skip
CLEAN = 1 / 3  # of all documents
WORST = 0.8  # of what wears them: small print that nobody can read teaches nothing


def draft(rng: random.Random, world: World, layouts: tuple[Layout, ...] | None = None) -> Draft:
    """A sound one, of the world's split unless `layouts` says which. The first tries may not fit."""
    choice = layouts or LAYOUTS[world.split]
    layout = rng.choice(choice)
    for attempt in range(200):
        made = layout(rng, world)
        if made.is_sound:
            sheet = made.sheet
            sheet.width, sheet.height = to_cells(rng, world, sheet.width, sheet.height)
            return made
        if attempt % 20 == 19:
            layout = rng.choice(choice)
    raise RuntimeError(f"no document of layout {made.layout!r} fits in 200 tries: are the texts or fonts too wide?")


def finish(rng: random.Random, made: Draft) -> Document:
    pixels = draw(made.sheet)
    if rng.random() >= CLEAN:
        worn = degrade(pixels, rng, rng.uniform(0.1, WORST))
        if tokens(worn.shape[1], worn.shape[0]) <= TOKENS:
            pixels = worn
    return Document(made.kind, made.layout, {field.names[0]: field for field in made.fields}, made.lines, pixels)


def document(rng: random.Random, world: World) -> Document:
    return finish(rng, draft(rng, world))
