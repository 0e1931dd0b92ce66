"""Forms that somebody has filled in: labels with values beside, above or below, and boxes that are ticked."""

from __future__ import annotations

import random

from training.render.cells import Choice, Place, cell_style, choices, grid
from training.render.drafts import Draft, Layout
from training.render.fields import Field
from training.render.kinds import fill
from training.render.looks import Look, look
from training.render.sheets import Bar, Frame, Sheet, leading
from training.world import World

_TOPICS: dict[str, tuple[str, ...]] = {
    "Application": ("name", "birth", "address", "phone", "email", "occupation", "employer", "income", "date"),
    "Insurance claim": ("name", "policy", "case", "address", "phone", "plate", "date", "amount", "iban", "bank"),
    "Registration": ("first_name", "last_name", "birth", "birth_place", "nationality", "city", "postcode",
                     "email", "mobile", "passport"),
    "Patient record": ("name", "birth", "patient", "doctor", "contact", "phone", "insurance", "height", "weight",
                       "date"),
    "Membership": ("name", "member", "address", "email", "start", "end", "fee", "account", "sort_code", "mobile"),
    "Staff record": ("name", "staff", "department", "occupation", "room", "start", "contact", "tax_id", "hours",
                     "account"),
    "Vehicle": ("name", "plate", "model", "serial", "licence", "issued", "expiry", "fee", "company", "city"),
    "Tenancy": ("name", "address", "rent", "deposit", "start", "end", "account", "bank", "phone", "reference"),
    "Order form": ("company", "customer", "order", "reference", "address", "email", "phone", "fax", "date", "amount"),
    "Enrolment": ("first_name", "last_name", "student", "birth", "department", "start", "contact", "mobile", "email",
                  "fee"),
    "Repair order": ("name", "serial", "model", "issued", "case", "phone", "amount", "deposit", "service", "date"),
}  # fmt: skip
_QUESTIONS: dict[str, tuple[str, ...]] = {
    "Marital status": ("Single", "Married", "Divorced", "Widowed"),
    "Sex": ("Female", "Male", "Other"),
    "Smoker": ("Yes", "No"),
    "Language": ("English", "French", "German", "Polish"),
    "Delivery": ("Post", "Courier", "Pick-up"),
    "Payment": ("Cash", "Card", "Transfer"),
    "Licence held": ("Yes", "No"),
    "Preferred contact": ("Phone", "E-mail", "Letter"),
    "Housing": ("Owner", "Tenant", "Shared"),
    "Size": ("Small", "Medium", "Large"),
    "Urgency": ("Low", "Normal", "High"),
    "Newsletter": ("Yes", "No"),
    "Type of request": ("New", "Renewal", "Change"),
    "Working time": ("Full-time", "Part-time"),
}


def _choice(rng: random.Random) -> Choice:
    label = rng.choice(list(_QUESTIONS))
    options = list(_QUESTIONS[label])
    if rng.random() < 0.3:
        rng.shuffle(options)
    return Choice(Field("choice", rng.choice(options), (label,), label), tuple(options))


def odd_field(rng: random.Random, world: World) -> Field:
    """With a label that no list has, so that labels have to be read."""
    words = [word.strip(",:;.-") for word in world.texts.title(rng).split()]
    label = " ".join([word for word in words if len(word) > 3][:2]).capitalize() or "Remark"
    value = rng.choice((world.texts.code, world.texts.person, world.texts.company))(rng)
    return Field("other", value, (label,), label)


def _maker(layout: str, places: tuple[Place, ...], columns: tuple[int, ...]) -> Layout:
    def make(rng: random.Random, world: World) -> Draft:
        chosen = look(rng, world, rng.choice(("body", "body", "any")), 0.75)
        manner = chosen.manner(rng)
        topic = rng.choice(list(_TOPICS))
        kinds = list(_TOPICS[topic])
        if rng.random() < 0.5:
            rng.shuffle(kinds)
        count = rng.choice(columns)
        kinds = kinds[: rng.randrange(3, 7 if count == 1 else 10)]
        fields = fill(rng, world, manner, kinds)
        for _ in range(rng.choice((0, 0, 1, 2))):
            fields.insert(rng.randrange(len(fields) + 1), odd_field(rng, world))
        width = rng.randrange(380, 620) if count == 1 else rng.randrange(560, 900)
        sheet = Sheet(width, chosen.paper)
        margin = rng.randrange(18, 36)
        y = _title(rng, world, sheet, chosen, topic, margin)
        style = cell_style(rng, chosen, rng.choice(places))
        ticked = [_choice(rng) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        y, placed = grid(sheet, style, fields, margin, y, width - margin, count, rng.randrange(14, 28))
        y += 12
        for choice in ticked:
            bottom = choices(rng, sheet, chosen, choice, margin, y, width - margin)
            if bottom is not None:
                placed.append(choice.field)
                y = bottom
        sheet.height = y + rng.randrange(6, 24)
        if rng.random() < 0.2:
            sheet.marks.insert(0, Frame(6, 6, width - 7, sheet.height - 7, chosen.ink, 2))
        return Draft("form", layout, sheet, tuple(placed))

    return make


def _title(rng: random.Random, world: World, sheet: Sheet, chosen: Look, topic: str, margin: int) -> int:
    title = rng.choice((topic, topic, topic.upper(), f"{topic} form" if "form" not in topic else topic))
    way = rng.choice(("left", "centre", "band", "none"))
    big = chosen.heading(rng.uniform(1.2, 1.8))
    y = rng.randrange(14, 28)
    if way == "none" or big.width(title) > sheet.width - 2 * margin:
        return y
    if way == "band":
        sheet.marks.append(Bar(0, 0, sheet.width, leading(big) + 16, chosen.accent))
        sheet.text(margin, 8, title, chosen.heading(big.size / chosen.heading(1).size, chosen.paper))
        return leading(big) + 34
    sheet.text(margin if way == "left" else sheet.width // 2, y, title, big, "left" if way == "left" else "centre")
    y += leading(big) + 6
    if rng.random() < 0.4:
        small = chosen.small()
        note = rng.choice(("Please print clearly.", "Use capital letters.", "Fill in all boxes.", "For office use only",
                           "Please keep a copy.", "Return this form to the office."))  # fmt: skip
        sheet.text(margin, y, note, small)
        y += leading(small)
    return y + 8


COLUMN = _maker("column", ("left", "above"), (1,))
GRID = _maker("grid", ("inside", "inside", "foot"), (2, 2, 3))
TWO_SIDES = _maker("two-sides", ("left", "above", "above"), (2,))
# Held out: labels in a shaded column of a ruled table or flush right, and labels under the line.
TABLE = _maker("table", ("table", "axis"), (1,))
UNDER = _maker("under", ("below",), (1, 2))
