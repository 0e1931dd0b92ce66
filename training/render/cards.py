"""Cards that one carries, and slips that a bank takes."""

from __future__ import annotations

import random
from dataclasses import replace

from training.render.cells import Place, cell_style, grid
from training.render.drafts import Draft, Layout
from training.render.fields import Field
from training.render.kinds import fill
from training.render.looks import Look, blend, look
from training.render.sheets import Bar, Colour, Frame, Sheet, Stroke, leading
from training.world import World

_IDENTITY = ("last_name", "first_name", "birth", "nationality", "passport", "issued", "expiry", "birth_place", "height")
_WORK = ("name", "staff", "department", "room", "company", "expiry")
_PERSONAL = ("name", "member", "birth", "start", "expiry", "city", "student", "insurance", "licence")
_TITLES = {"identity card": ("IDENTITY CARD", "Identity card", "PASSPORT CARD", "Residence permit", "DRIVING LICENCE"),
           "membership card": ("Library card", "MEMBER", "Club card", "Student card", "Health insurance card",
                               "Loyalty card")}  # fmt: skip
_WHITE: Colour = (255, 255, 255)


def _look(rng: random.Random, world: World) -> Look:
    chosen = look(rng, world, "body", 0.4)
    return replace(chosen, paper=blend(_WHITE, chosen.accent, rng.uniform(0.03, 0.16)))


def _portrait(rng: random.Random, sheet: Sheet, chosen: Look, x: int, y: int, width: int) -> None:
    """Where a photograph is: a head and shoulders."""
    high = round(width * 1.25)
    shade = blend(chosen.paper, (90, 90, 100), rng.uniform(0.25, 0.5))
    dark = blend(shade, (30, 30, 40), 0.5)
    sheet.marks.append(Bar(x, y, x + width, y + high, shade))
    third = width // 3
    sheet.marks.append(Bar(x + third, y + high // 5, x + 2 * third, y + high // 5 + third + 6, dark, third // 2))
    sheet.marks.append(Bar(x + third // 2, y + high * 3 // 5, x + width - third // 2, y + high, dark, third // 2))


def _card(layout: str, kind: str, pool: tuple[str, ...], places: tuple[Place, ...], least: int, most: int) -> Layout:
    def make(rng: random.Random, world: World) -> Draft:
        chosen = _look(rng, world)
        width = rng.randrange(460, 640)
        sheet = Sheet(width, chosen.paper)
        title = rng.choice(_TITLES.get(kind, ("STAFF", "VISITOR", "Employee badge")))
        big = chosen.heading(rng.uniform(1.2, 1.6), _WHITE)
        high = leading(big) + 16
        sheet.marks.append(Bar(0, 0, width, high, chosen.accent))
        sheet.text(20, 8, title, big)
        y, x, right = high + 14, 20, width - 20
        side = rng.randrange(95, 130)
        pictured = rng.random() < 0.6
        if pictured:
            at = x if rng.random() < 0.6 else right - side
            _portrait(rng, sheet, chosen, at, y, side)
            x, right = (x + side + 18, right) if at == x else (x, at - 18)
        kinds = rng.sample(pool, rng.randrange(least, most + 1))
        style = cell_style(rng, chosen, rng.choice(places), "none")
        columns = rng.choice((1, 2)) if style.place == "above" else 1
        low, placed = grid(sheet, style, fill(rng, world, chosen.manner(rng), kinds), x, y, right, columns, 14)
        sheet.height = max(low, y + round(side * 1.25) if pictured else 0) + 14
        return Draft(kind, layout, sheet, tuple(placed))

    return make


def _slip(rng: random.Random, world: World) -> Draft:
    """Of a bank: boxes to pay in or to transfer with."""
    chosen = _look(rng, world)
    width = rng.randrange(520, 760)
    sheet = Sheet(width, chosen.paper)
    big = chosen.heading(1.4)
    title = rng.choice(
        ("Credit transfer", "PAYMENT SLIP", "Paying-in slip", "Deposit slip", "Bank giro credit", "Transfer order")
    )
    sheet.text(22, 14, title, big)
    kinds = ["payee", "iban" if rng.random() < 0.6 else "account", "amount"]
    kinds += rng.sample(("bic", "purpose", "payer", "date", "bank", "sort_code"), rng.randrange(1, 5))
    style = cell_style(rng, chosen, rng.choice(("inside", "above", "left")), rng.choice(("box", "box", "fill")))
    fields = fill(rng, world, chosen.manner(rng), kinds)
    y, placed = grid(sheet, style, fields, 22, 22 + leading(big), width - 22, rng.choice((1, 2, 2)), 14)
    sheet.height = y + 16
    return Draft("bank slip", "slip", sheet, tuple(placed))


def cheque(rng: random.Random, world: World) -> Draft:
    """Held out: the number in a corner, the payee on a line, the amount in a box at the right."""
    chosen = _look(rng, world)
    manner = chosen.manner(rng)
    width = rng.randrange(620, 780)
    sheet = Sheet(width, chosen.paper)
    small, pen, big = chosen.small(), chosen.value(1.2), chosen.heading(1.3)
    bank, payee, amount, day, number, account = fill(
        rng, world, manner, ("bank", "payee", "amount", "date", "cheque", "account")
    )
    x, right, y = 26, width - 26, 20
    sheet.text(x, y, bank.value, big)
    sheet.text(right, y, number.value, small, "right")
    y += leading(big) + 12
    at = right - small.width(day.value) - rng.randrange(10, 60)
    sheet.text(at, y, f"{day.label}:", small, "right")
    sheet.text(right, y, day.value, small, "right")
    y += leading(small) + 18
    label = sheet.text(x, y, payee.label, small)
    sheet.text(x + label + 16, y + small.ascent - pen.ascent, payee.value, pen)
    box = pen.width(amount.value) + 20
    line = y + leading(small)
    sheet.rule(x + label + 8, line, right - box - 14, chosen.faint)
    sheet.marks.append(Frame(right - box, y - 8, right, y + leading(pen) + 4, chosen.ink))
    sheet.text(right - 10, y - 2, amount.value, pen, "right")
    y = line + 34
    sheet.text(x, y, f"{account.label}: {account.value}", small)
    if label + 24 + pen.width(payee.value) + box + 20 > right - x:
        sheet.height = 0  # the payee would run into the amount
        return Draft("cheque", "cheque", sheet, ())
    points = [(right - 200 + step * 18, y + 8 + rng.randrange(-9, 10)) for step in range(9)]
    sheet.marks.append(Stroke(tuple(points), chosen.pen))
    if x + small.width(f"{account.label}: {account.value}") > right - 210:
        sheet.marks.pop()
    sheet.height = y + leading(small) + 18
    fields = (
        Field("bank", bank.value, bank.names),
        payee,
        amount,
        day,
        Field("cheque", number.value, number.names),
        account,
    )
    return Draft("cheque", "cheque", sheet, fields)


def badge(rng: random.Random, world: World) -> Draft:
    """Held out: standing, a photograph in the middle, labels flush right against the values."""
    chosen = _look(rng, world)
    width = rng.randrange(380, 480)
    sheet = Sheet(width, chosen.paper)
    big = chosen.heading(1.4)
    company = world.texts.company(rng)
    y = 22
    sheet.text(width // 2, y, company, big, "centre")
    y += leading(big) + 8
    side = rng.randrange(90, 130)
    _portrait(rng, sheet, chosen, (width - side) // 2, y, side)
    y += round(side * 1.25) + 14
    style = cell_style(rng, chosen, "axis", "none")
    kinds = rng.sample(("name", "staff", "department", "room", "expiry", "occupation", "phone"), rng.randrange(3, 6))
    y, placed = grid(sheet, style, fill(rng, world, chosen.manner(rng), kinds), 18, y, width - 18, 1, 10)
    sheet.height = y + 18
    sheet.marks.append(Frame(4, 4, width - 5, sheet.height - 5, chosen.accent, 3, 14))
    return Draft("badge", "badge", sheet, (Field("company", company, ("company", "name of the company")), *placed))


IDENTITY = _card("identity", "identity card", _IDENTITY, ("above", "left"), 4, 7)
MEMBER = _card("member", "membership card", _PERSONAL, ("above", "left", "inside"), 3, 5)
WORK = _card("work", "staff card", _WORK, ("above", "left"), 3, 5)
SLIP, CHEQUE, BADGE = _slip, cheque, badge
