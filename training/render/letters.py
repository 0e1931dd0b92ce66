"""Heads of letters, and the labels of parcels."""

from __future__ import annotations

import random

from training.render import values
from training.render.drafts import Draft
from training.render.fields import Field
from training.render.invoices import letterhead
from training.render.kinds import filled
from training.render.looks import look
from training.render.sheets import Align, Frame, Sheet, bars, leading
from training.render.typeset import wrap
from training.world import World

_GREETINGS = ("Dear Sir or Madam,", "Dear customer,", "Dear {name},", "Hello {name},", "To whom it may concern")
_CLOSINGS = ("Yours sincerely,", "Kind regards,", "Best wishes,", "Yours faithfully,")


def head(rng: random.Random, world: World) -> Draft:
    """Who writes to whom, when and about what, and how the letter begins."""
    chosen = look(rng, world, "body", 0)
    manner = chosen.manner(rng)
    width = rng.randrange(520, 720)
    sheet = Sheet(width, chosen.paper)
    parties = letterhead(rng, world)
    small, big = chosen.small(), chosen.heading(rng.uniform(1.2, 1.7))
    middle = rng.random() < 0.4
    x, right, y = 34, width - 34, 24
    lines = [parties.sender.value, *parties.sender_lines]
    at: int = width // 2 if middle else x
    align: Align = "centre" if middle else "left"
    sheet.text(at, y, parties.sender.value, big, align)
    y = sheet.texts(at, y + leading(big), parties.sender_lines, small, align) + 6
    if rng.random() < 0.5:
        sheet.rule(x, y, right, chosen.accent, 2)
    y = sheet.texts(x, y + 14, [parties.recipient.value, *parties.recipient_lines], small) + 12
    lines += [parties.recipient.value, *parties.recipient_lines]
    fields = list(parties.fields)
    day = manner.date(values.day(rng, 1990))
    place = values.city(rng) + ", " if rng.random() < 0.3 else ""
    if rng.random() < 0.5:
        sheet.text(right, y, place + day, small, "right")
    else:
        sheet.text(x, y, place + day, small)
    fields.append(Field("date", day, ("date", "date of the letter")))
    lines.append(place + day)
    y += leading(small) + 8
    for kind in rng.sample(("reference", "customer", "policy", "account", "case"), rng.randrange(0, 3)):
        field = filled(rng, world, manner, kind)
        line = f"{field.label}: {field.value}"
        y = sheet.texts(x, y, [line], small)
        lines.append(line)
        fields.append(field)
    if rng.random() < 0.7:
        subject = world.texts.title(rng)
        y = sheet.texts(x, y + 6, [subject], chosen.heading(1.1, chosen.ink)) + 6
        lines.append(subject)
        fields.append(Field("subject", subject, ("subject", "subject of the letter")))
    person = parties.recipient.value
    body = [rng.choice(_GREETINGS).format(name=person)]
    text = world.texts.paragraph(rng, rng.randrange(60, 200))
    if rng.random() < 0.7 and values.is_prose(text):
        body += wrap(small.face, small.size, text, right - x)
    y = sheet.texts(x, y + 4, body, small)
    sheet.height = y + rng.randrange(12, 30)
    return Draft("letter", "head", sheet, tuple(fields), (*lines, *body))


def label(rng: random.Random, world: World) -> Draft:
    """On a parcel: from, to, and the number to follow it by."""
    chosen = look(rng, world, "body", 0.3)
    manner = chosen.manner(rng)
    width = rng.randrange(400, 560)
    sheet = Sheet(width, (255, 255, 255))
    parties = letterhead(rng, world)
    small, big, value = chosen.small(), chosen.heading(1.25, chosen.ink), chosen.value()
    x, right, y = 22, width - 22, 20
    titles = rng.choice((("From:", "To:"), ("Sender", "Ship to"), ("FROM", "DELIVER TO"), ("Shipper", "Consignee")))
    home = next(field.value for field in parties.fields if field.kind == "sender_address").split("\n")
    y = sheet.texts(x, y, [titles[0], parties.sender.value, *home], small) + 8
    sheet.rule(0, y, width, chosen.ink, 2)
    y = sheet.texts(x, y + 10, [titles[1]], small)
    y = sheet.texts(x, y, [parties.recipient.value, *parties.recipient_lines], big) + 8
    sheet.rule(0, y, width, chosen.ink, 2)
    y += 12
    lines = [titles[0], parties.sender.value, *home, titles[1], parties.recipient.value, *parties.recipient_lines]
    fields = [field for field in parties.fields if field.kind not in ("phone", "email")]
    more = rng.sample(("weight", "service", "parcels", "order", "date", "reference"), rng.randrange(1, 4))
    for kind in ("tracking", *more):
        field = filled(rng, world, manner, kind)
        left = sheet.text(x, y, field.label + ":", small)
        sheet.text(x + left + 8, y + small.ascent - value.ascent, field.value, value)
        y += max(leading(small), leading(value))
        lines.append(f"{field.label}: {field.value}")
        fields.append(field)
    bars(sheet, rng, x + 10, y + 8, right - 10, y + rng.randrange(40, 80), chosen.ink)
    sheet.height = y + 96
    sheet.marks.append(Frame(3, 3, width - 4, sheet.height - 4, chosen.ink, 2))
    return Draft("shipping label", "label", sheet, tuple(fields), tuple(lines))


HEAD, LABEL = head, label
