"""A few lines of text, one of which has a code."""

from __future__ import annotations

import random

from training.render.drafts import Draft
from training.render.fields import Field
from training.render.looks import Look, look
from training.render.sheets import Align, Frame, Sheet, Type, leading
from training.render.typeset import wrap
from training.render.values import is_prose
from training.world import World

_WHAT = {
    "code": (("Code", "Your code", "Access code", "The code is", "Security code"), ("code", "access code")),
    "serial": (("Serial number", "Serial no.", "S/N"), ("serial number",)),
    "reference": (("Reference", "Ref.", "Your reference"), ("reference", "reference number")),
    "booking": (("Booking code", "Confirmation code"), ("booking code", "confirmation code")),
    "password": (("Password", "Your password", "Wi-Fi password"), ("password",)),
}
ALONE = 0.2  # of all codes, without a label


def _code(rng: random.Random, world: World) -> Field:
    kind = rng.choice(list(_WHAT))
    labels, names = _WHAT[kind]
    if rng.random() < ALONE:
        return Field("code", world.texts.code(rng), ("code", "code in the picture"))
    return Field(kind, world.texts.code(rng), names, rng.choice(labels))


def _around(rng: random.Random, world: World, kind: Type, width: int) -> list[list[str]]:
    """Sentences of up to three lines, without anything that could be taken for a code."""
    sentences = [world.texts.sentence(rng) for _ in range(rng.randrange(0, 4))]
    blocks = [wrap(kind.face, kind.size, text, width) for text in sentences if is_prose(text)]
    return [lines for lines in blocks if len(lines) <= 3]


def _beside(sheet: Sheet, look: Look, value: Type, field: Field, x: int, y: int) -> tuple[int, list[str]]:
    """Label and code in one line. Gives the bottom, and what was printed."""
    small = look.small()
    name = field.label + ("" if not field.label or field.label.endswith("is") else ":")
    left = sheet.text(x, y, name, small) + small.width("n") if name else 0
    sheet.text(x + left, y + small.ascent - value.ascent, field.value, value)
    return y + leading(small) + 6, [f"{name} {field.value}".strip()]


def _framed(sheet: Sheet, look: Look, value: Type, field: Field, y: int) -> tuple[int, list[str]]:
    """In the middle, the label above the code, with a frame around it."""
    small, middle = look.small(), sheet.width // 2
    lines = [f"{field.label}:"] if field.label else []
    y = sheet.texts(middle, y, lines, small, "centre") + 6
    half = value.width(field.value) // 2 + 12
    sheet.marks.append(Frame(middle - half, y - 4, middle + half, y + leading(value) + 2, look.ink))
    sheet.text(middle, y, field.value, value, "centre")
    return y + leading(value) + 8, [*lines, field.value]


def _note(rng: random.Random, world: World, layout: str, framed: bool) -> Draft:
    chosen = look(rng, world, "any", 0.3)
    value = chosen.small() if rng.random() < 0.6 else chosen.value()
    sheet = Sheet(rng.randrange(300, 640), chosen.paper)
    x, y = rng.randrange(14, 40), rng.randrange(14, 40)
    field = _code(rng, world)
    around = _around(rng, world, chosen.small(), sheet.width - 2 * x)
    before = rng.randrange(len(around) + 1)
    align: Align = "centre" if rng.random() < (0.9 if framed else 0.25) else "left"
    lines: list[str] = []
    for index in range(len(around) + 1):
        if index == before:
            placed = _framed(sheet, chosen, value, field, y) if framed else _beside(sheet, chosen, value, field, x, y)
            y = placed[0]
            lines += placed[1]
        if index < len(around):
            lines += around[index]
            y = sheet.texts(sheet.width // 2 if align == "centre" else x, y, around[index], chosen.small(), align) + 6
    sheet.height = y + rng.randrange(10, 30)
    return Draft("note", layout, sheet, (field,), tuple(lines))


def note(rng: random.Random, world: World) -> Draft:
    return _note(rng, world, "note", framed=False)


def memo(rng: random.Random, world: World) -> Draft:
    """Held out."""
    return _note(rng, world, "memo", framed=True)


NOTE, MEMO = note, memo
