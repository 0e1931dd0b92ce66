"""Papers of no kind: fields that go together nowhere else, or parts of an invoice, each set in a way of its own.

Some values have no label: what they are is told by how they look, or by what the paper is called.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from training.render.cells import Place, cell_style, grid
from training.render.drafts import Draft
from training.render.fields import Field
from training.render.forms import odd_field
from training.render.invoices import TITLES, Bill, bill_of, party, table_and_sums
from training.render.kinds import KINDS, fill, is_surely_missing
from training.render.looks import Look, look
from training.render.sheets import Align, Frame, Sheet, bars, leading, squares
from training.render.typeset import wrap
from training.world import World

_CALLED = ("form", "document", "paper", "slip", "sheet", "record", "page")
_PLACES: tuple[Place, ...] = ("left", "left", "above", "inside", "foot", "foot")  # the others are held out
_HEADS = ("company", "bank", "venue", "employer")  # stand large at the head of a paper that is theirs
# A paper may be called so, and its number says no more.
_NUMBERED = ("ticket", "case", "order", "cheque", "policy", "member", "customer", "patient", "student", "staff")
_TITLED = 0.6  # of these are called so; of the others it is told by there being no other number
_BY_FORM = ("date", "time", "amount", "phone", "email", "website", "iban", "address", "name")
_BESIDE = 0.35  # of groups have something to their right
_NEITHER = 0.3  # of places have no fields: a heading, small print, a code


def mixed(rng: random.Random, world: World) -> Draft:
    chosen = look(rng, world, rng.choice(("body", "any")), 0.6)
    manner = chosen.manner(rng)
    bare = _bare_kinds(rng)
    others = [kind for kind in sorted(KINDS) if is_surely_missing(kind, frozenset(bare))]
    fields = fill(rng, world, manner, rng.sample(others, rng.randrange(2, 9)))
    unlabelled = [replace(field, label="") for field in fill(rng, world, manner, bare)]
    fields += [odd_field(rng, world) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    rng.shuffle(fields)
    sheet = Sheet(rng.randrange(400, 860), chosen.paper)
    margin, gap = rng.randrange(14, 48), rng.randrange(16, 40)
    y, placed = rng.randrange(12, 40), list[Field]()
    if unlabelled and rng.random() < 0.5:
        y = _unlabelled(rng, sheet, chosen, unlabelled, margin, y, sheet.width - margin, placed)
    while fields or unlabelled:
        for left, right in _columns(rng, margin, sheet.width - margin, gap):
            if rng.random() < _NEITHER:
                bottom = _neither(rng, world, sheet, chosen, left, y, right)
            elif unlabelled and (not fields or rng.random() < 0.4):
                bottom = _unlabelled(rng, sheet, chosen, unlabelled, left, y, right, placed)
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


def _bare_kinds(rng: random.Random) -> list[str]:
    """Of what has no label: one at most of those that the same look or title could tell."""
    pools = [pool for pool in (_HEADS, _NUMBERED, *((kind,) for kind in _BY_FORM)) if rng.random() < 0.2]
    found: list[str] = []
    for pool in pools:
        kind = rng.choice(pool)
        if is_surely_missing(kind, frozenset(found)):
            found.append(kind)
    return found


def _unlabelled(
    rng: random.Random, sheet: Sheet, chosen: Look, fields: list[Field], left: int, y: int, right: int,
    placed: list[Field],
) -> int:  # fmt: skip
    """Draws the next of `fields`, or two at both sides, if they are not too wide. Gives the bottom."""
    aligns: list[Align] = ["left", "right"] if len(fields) > 1 and rng.random() < 0.3 else [_aligned(rng)]
    bottom = y
    for align in aligns:
        field = fields.pop()
        kind = chosen.heading(rng.uniform(1.1, 1.9)) if field.kind in _HEADS else chosen.value(rng.uniform(0.9, 1.3))
        lines = field.value.split("\n")
        if field.kind in _NUMBERED:
            title = KINDS[field.kind].labels[0].removesuffix(" number")
            lines = [rng.choice(("", "No. ", "no. ", "# ")) + lines[0]]
            big = chosen.heading(rng.uniform(1.1, 1.9))
            if len(aligns) > 1 or big.width(title) > right - left:
                continue
            if rng.random() < _TITLED:
                sheet.text(_at(align, left, right), y, rng.choice((title, title.upper())), big, align)
                y += leading(big) + rng.randrange(0, 8)
        widest = max(kind.width(line) for line in lines)
        if widest > (right - left) // len(aligns) - 10 or not all(map(kind.shows, lines)):
            continue
        bottom = max(bottom, sheet.texts(_at(align, left, right), y, lines, kind, align))
        placed.append(field)
    return max(bottom, y)


def _aligned(rng: random.Random) -> Align:
    return rng.choice(("left", "left", "right", "centre"))


def _at(align: Align, left: int, right: int) -> int:
    return left if align == "left" else right if align == "right" else (left + right) // 2


def mixed_bill(rng: random.Random, world: World) -> Draft:
    width = rng.randrange(600, 900)
    made = bill_of(rng, world, width)
    sheet = Sheet(width, made.look.paper)
    margin, gap = rng.randrange(18, 44), rng.randrange(16, 40)
    placed: list[Field] = [*made.head.fields]
    parts = _parts(rng, world, sheet, made, placed)
    rng.shuffle(parts)
    y = rng.randrange(12, 36)
    while parts:
        for left, right in _columns(rng, margin, sheet.width - margin, gap):
            if parts:
                sheet.height = max(sheet.height, parts.pop()(left, y, right))
        y = sheet.height + rng.randrange(6, 30)
    left, right = margin, sheet.width - margin
    at = rng.choice((left, right - rng.randrange(380, 520))) if rng.random() < 0.3 else left
    y, more = table_and_sums(rng, sheet, made, at, y, right)
    sheet.height = y + rng.randrange(10, 40)
    return Draft(rng.choice(("invoice", "bill")), "mixed bill", sheet, (*placed, *more))


def _parts(
    rng: random.Random, world: World, sheet: Sheet, made: Bill, placed: list[Field]
) -> list[Callable[[int, int, int], int]]:
    """Each draws something between left, top and right, adds to what is `placed`, and gives the bottom."""
    head, chosen = made.head, made.look

    def group(fields: Sequence[Field], left: int, y: int, right: int) -> int:
        bottom, found = _group(rng, sheet, chosen, fields, left, y, right)
        placed.extend(found)
        return bottom

    def from_whom(left: int, y: int, right: int) -> int:
        return party(sheet, made, rng.choice(("", "From", "Seller")), head.sender, head.sender_lines, left, y)

    def to_whom(left: int, y: int, right: int) -> int:
        called = rng.choice(("Bill to", "To", "Customer", "Sold to"))
        return party(sheet, made, called, head.recipient, head.recipient_lines, left, y)

    def title(left: int, y: int, right: int) -> int:
        big = chosen.heading(rng.uniform(1.2, 2.0))
        sheet.text(left, y, rng.choice(TITLES), big)
        return y + leading(big)

    some = rng.randrange(len(made.numbers) + 1)
    return [
        from_whom, to_whom, title, partial(_neither, rng, world, sheet, chosen),
        *(partial(group, fields) for fields in (made.numbers[:some], made.numbers[some:], made.bank) if fields),
    ]  # fmt: skip


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
