"""Papers of no kind: fields that go together nowhere else, in groups that are each set in a way of their own."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.render.cells import Place, cell_style, grid
from training.render.drafts import Draft
from training.render.fields import Field
from training.render.forms import odd_field
from training.render.kinds import KINDS, fill
from training.render.looks import Look, look
from training.render.sheets import Frame, Sheet, bars, leading, squares
from training.render.typeset import wrap
from training.world import World

_CALLED = ("form", "document", "paper", "slip", "sheet", "record", "page")
_PLACES: tuple[Place, ...] = ("left", "left", "above", "inside", "foot")  # the others are held out
_BESIDE = 0.35  # of groups have something to their right
_NEITHER = 0.3  # of places have no fields: a heading, small print, a code


def mixed(rng: random.Random, world: World) -> Draft:
    chosen = look(rng, world, rng.choice(("body", "any")), 0.6)
    manner = chosen.manner(rng)
    fields = fill(rng, world, manner, rng.sample(sorted(KINDS), rng.randrange(2, 9)))
    fields += [odd_field(rng, world) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    rng.shuffle(fields)
    sheet = Sheet(rng.randrange(400, 860), chosen.paper)
    margin, gap = rng.randrange(14, 48), rng.randrange(16, 40)
    y, placed = rng.randrange(12, 40), list[Field]()
    while fields:
        for left, right in _columns(rng, margin, sheet.width - margin, gap):
            if rng.random() < _NEITHER:
                bottom = _neither(rng, world, sheet, chosen, left, y, right)
            else:
                count = rng.randrange(1, 5)
                bottom, found = _group(rng, sheet, chosen, fields[:count], left, y, right)
                placed += found
                del fields[:count]
            sheet.height = max(sheet.height, bottom)
        y = sheet.height + rng.randrange(4, 44)
    sheet.height += rng.randrange(8, 40)
    if rng.random() < 0.2:
        sheet.marks.insert(0, Frame(5, 5, sheet.width - 6, sheet.height - 6, chosen.ink, rng.choice((1, 2))))
    return Draft(rng.choice(_CALLED), "mixed", sheet, tuple(placed))


def _columns(rng: random.Random, left: int, right: int, gap: int) -> list[tuple[int, int]]:
    """One, or two of any width."""
    if right - left < 440 or rng.random() >= _BESIDE:
        return [(left, right)]
    middle = round(left + (right - left) * rng.uniform(0.38, 0.62))
    return [(left, middle - gap // 2), (middle + gap // 2, right)]


def _group(
    rng: random.Random, sheet: Sheet, chosen: Look, fields: Sequence[Field], left: int, y: int, right: int
) -> tuple[int, list[Field]]:
    """The bottom, and what was placed: what is too wide is left out."""
    style = cell_style(rng, chosen, rng.choice(_PLACES))
    columns = rng.choice((1, 1, 2, 3)) if right - left > 340 else 1
    return grid(sheet, style, fields, left, y, right, columns, rng.randrange(12, 30))


def _neither(rng: random.Random, world: World, sheet: Sheet, chosen: Look, left: int, y: int, right: int) -> int:
    """What nobody asks for. Gives the bottom."""
    small, big = chosen.small(), chosen.heading(rng.uniform(1.1, 1.9))
    what = rng.choice(("heading", "print", "print", "bars", "squares"))
    if what == "heading":
        title = world.texts.title(rng)
        if big.width(title) > right - left or not big.shows(title):
            return y
        sheet.text(left, y, title, big)
        return y + leading(big)
    if what == "print":
        text = world.texts.paragraph(rng, rng.randrange(30, 200))
        lines = wrap(small.face, small.size, text, right - left) if small.shows(text) else []
        return sheet.texts(left, y, lines, small)
    high = rng.randrange(30, 70)
    if what == "bars":
        bars(sheet, rng, left, y, min(right, left + rng.randrange(120, 260)), y + high, chosen.ink)
    else:
        squares(sheet, rng, left, y, high, chosen.ink)
    return y + high
