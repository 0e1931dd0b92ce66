"""Pages that are more than columns: letters, invoices, slides, title pages, references, notes at the side."""

from __future__ import annotations

import random

from training.render.blocks import Page, Shape
from training.render.pages_elements import bullets, heading, image, paragraph, text
from training.render.pages_flow import framed, spacing
from training.render.pages_look import Look, fitted, make_look
from training.render.pages_sheet import Sheet
from training.render.pages_words import Align
from training.render.tables_layout import pale
from training.world import World


def letter(rng: random.Random, world: World) -> Page:
    """Who writes, to whom, when; some paragraphs, and a signature."""
    sheet = Sheet(rng, world, make_look(rng, world, (1.5, 2.0)))
    look, texts = sheet.look, world.texts
    frame = framed(sheet, 0.15, 0.3, 0.2)
    y = _sender(sheet, frame.top)
    half = look.left + round(look.across * 0.55)
    if rng.random() < 0.8:
        to = [texts.person(rng), *texts.address(rng)]
        below = sheet.several("text", to, look.left, half - look.size, y, leading=1.25)
        if rng.random() < 0.5:
            sheet.text("text", texts.date(rng), half, look.right, y, align="right", most=1)
            y = below + 2 * look.gap
        else:
            y = below + round(1.5 * look.size)
            y = sheet.text("text", texts.date(rng), look.left, look.right, y, most=1) + look.size + look.gap
    if rng.random() < 0.5:
        said = f"{rng.choice(('', 'Re: ', 'Subject: '))}{texts.title(rng)}"
        y = sheet.text("title", said, look.left, look.right, y, face=look.strong, most=2) + look.size
    said = f"Dear {texts.person(rng)}{rng.choice((',', ',', ':'))}"
    y = sheet.text("text", said, look.left, look.right, y, most=1) + look.size
    room = round(7 * look.pitch)  # for the signature
    for _ in range(rng.randint(1, 6)):
        kind = bullets if rng.random() < 0.08 else text
        below = kind(sheet, look.left, look.right, y, frame.bottom - room)
        if below == y:
            break
        y = below + max(look.gap, look.size // 2)
    if y < frame.bottom - room:
        x = look.left if rng.random() < 0.7 else half
        greeting = rng.choice(
            ("Yours sincerely,", "Kind regards,", "Yours faithfully,", "With best wishes,", "Regards")
        )
        y = sheet.text("text", greeting, x, look.right, y + look.size, most=1) + round(2.5 * look.size)
        sheet.several("text", [texts.person(rng), texts.company(rng)][: rng.randint(1, 2)], x, look.right, y)
    sheet.blocks += frame.closing
    return sheet.page()


def _sender(sheet: Sheet, y: int) -> int:
    rng, look, texts = sheet.rng, sheet.look, sheet.world.texts
    way: Align = rng.choice(("left", "right", "centre"))
    if rng.random() < 0.3:
        side = round(look.width * rng.uniform(0.06, 0.12))
        x = look.left if way != "left" else look.right - side
        sheet.image(x, x + side, y, side)
    room = round(look.across * 0.75)
    x0 = look.left if way == "left" else look.right - room if way == "right" else look.left + (look.across - room) // 2
    if rng.random() < 0.6:
        size = round(look.size * rng.uniform(1.2, 2.0))
        y = sheet.text("title", texts.company(rng), x0, x0 + room, y, face=look.display, size=size, align=way, most=1)
        y += look.size // 2
    lines = [*texts.address(rng), texts.code(rng)][: rng.randint(2, 5)]
    y = sheet.several("text", lines, x0, x0 + room, y + 4, size=look.small(0.9), align=way, leading=1.25)
    y = max([y, *(block.box[3] for block in sheet.blocks if block.kind == "image")])
    if rng.random() < 0.3:
        y += look.size // 2
        sheet.rule(look.left, look.right, y, rng.choice((1, 2)))
    return y + round(look.size * rng.uniform(1.5, 3))


def invoice(rng: random.Random, world: World) -> Page:
    """Two parties, numbers, a table of what is to be paid, and terms."""
    sheet = Sheet(rng, world, make_look(rng, world, (1.4, 1.8)))
    look, texts = sheet.look, world.texts
    frame = framed(sheet, 0.1, 0.5, 0.4)
    middle = look.left + look.across // 2 + look.size
    word = rng.choice(("INVOICE", "Invoice", "Order", "QUOTATION", "Delivery note", "Statement", "Receipt"))
    size = round(look.size * rng.uniform(1.6, 2.8))
    y = frame.top
    at_left = rng.random() < 0.5
    if at_left:
        first = sheet.text("title", word, look.left, middle - look.size, y, face=look.display, size=size, most=1)
        second = sheet.several("text", [texts.company(rng), *texts.address(rng)], middle, look.right, y, align="right")
    else:
        first = sheet.several("text", [texts.company(rng), *texts.address(rng)], look.left, middle - look.size, y)
        second = sheet.text(
            "title", word, middle, look.right, y, face=look.display, size=size, align="right", most=1
        )  # fmt: skip
    y = max(first, second) + round(look.size * rng.uniform(1.5, 3))
    told = [f"{rng.choice(('Bill to', 'To', 'Customer'))}:", texts.person(rng), *texts.address(rng)]
    first = sheet.several("text", told, look.left, middle - look.size, y)
    facts = [f"{name}: {texts.code(rng)}" for name in rng.sample(("No.", "Order", "Customer no.", "Reference"), 2)]
    facts += [f"{name}: {texts.date(rng)}" for name in rng.sample(("Date", "Due", "Delivered"), rng.randint(1, 2))]
    second = sheet.several("text", facts, middle, look.right, y, align="right" if rng.random() < 0.5 else "left")
    y = max(first, second) + round(look.size * rng.uniform(1.5, 3))
    for _ in range(rng.choice((1, 1, 1, 2))):
        found = sheet.tabled(look.across)
        if found is not None and y + found[1].height + 4 * look.size < frame.bottom:
            y = sheet.table(found, look.left, y) + 2 * look.size
    if y + 4 * look.pitch < frame.bottom and rng.random() < 0.7:
        money = rng.choice(("$", "£", "EUR ", "USD "))
        sums = [f"{name}: {money}{texts.amount(rng, 1, 9000):,.2f}" for name in ("Subtotal", "Tax", "Total")]
        y = sheet.several("text", sums, middle, look.right, y, align="right") + 2 * look.size
    for _ in range(rng.randint(0, 2)):
        below = text(sheet, look.left, look.right, y, frame.bottom)
        y = below + max(look.gap, look.size // 2)
    sheet.blocks += frame.closing
    return sheet.page()


def slide(rng: random.Random, world: World) -> Page:
    """A title, and below it bullets, a picture, or both side by side."""
    sheet = Sheet(rng, world, make_look(rng, world, (1.9, 2.9), wide=True))
    look, texts = sheet.look, world.texts
    frame = framed(sheet, 0.1, 0.3, 0.6)
    size = round(look.size * rng.uniform(1.4, 2.0))
    y = frame.top
    dark = rng.random() < 0.3
    first = len(sheet.marks)
    way: Align = rng.choice(("left", "left", "centre"))
    y = sheet.text(
        "title", texts.title(rng), look.left, look.right, y, face=look.display, size=size, align=way, most=2,
        colour=(255, 255, 255) if dark else None,
    )  # fmt: skip
    if dark and not any(block.kind == "header" for block in sheet.blocks):
        fill = (rng.randint(0, 110), rng.randint(0, 80), rng.randint(20, 140))
        sheet.behind(first, Shape((0, 0, look.width, y + look.size // 2), fill))
    elif dark:
        fill = (rng.randint(0, 110), rng.randint(0, 80), rng.randint(20, 140))
        sheet.behind(first, Shape((look.left // 2, frame.top - 3, look.width - look.left // 2, y + 6), fill))
    y += round(1.3 * look.size)
    middle = look.left + round(look.across * rng.uniform(0.4, 0.6))
    kind = rng.randrange(4)
    if kind == 0:
        while y < frame.bottom - 3 * look.pitch and rng.random() < 0.85:
            below = bullets(sheet, look.left, look.right, y, frame.bottom)
            y = max(below, y) + round(1.5 * look.size)
    elif kind == 1:
        _fill(sheet, look.left, middle - look.size, y, frame.bottom)
        image(sheet, middle + look.size, look.right, y, frame.bottom)
    elif kind == 2:
        image(sheet, look.left, middle - look.size, y, frame.bottom)
        _fill(sheet, middle + look.size, look.right, y, frame.bottom)
    else:
        below = text(sheet, look.left, look.right, y, frame.bottom)
        image(sheet, look.left, look.right, below + look.size, frame.bottom)
    sheet.blocks += frame.closing
    return sheet.page()


def _fill(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> None:
    while y < end - 3 * sheet.look.pitch:
        kind = sheet.rng.choice((bullets, bullets, text, heading))
        below = kind(sheet, x0, x1, y, end)
        if below == y or (kind is not heading and sheet.rng.random() < 0.4):
            return
        y = below + spacing(sheet, "list")


def title_page(rng: random.Random, world: World) -> Page:
    """A title in the middle of nothing, and little else."""
    sheet = Sheet(rng, world, make_look(rng, world, (1.8, 2.8)))
    look, texts = sheet.look, world.texts
    frame = framed(sheet, 0.15, 0.3, 0.15)
    way: Align = rng.choice(("centre", "centre", "left", "right"))
    y = frame.top + round(rng.uniform(0, 0.25) * look.height)
    if rng.random() < 0.35:
        side = round(look.across * rng.uniform(0.15, 0.6))
        x = look.left + (look.across - side) // 2
        y = sheet.image(x, x + side, y, round(side * rng.uniform(0.5, 1.0))) + 3 * look.size
    if rng.random() < 0.3:
        y = sheet.text("text", texts.company(rng), look.left, look.right, y, align=way, most=1) + 2 * look.size
    size = round(look.size * rng.uniform(1.8, 3.4))
    y = sheet.text(
        "title", texts.title(rng), look.left, look.right, y, face=look.display, size=size, align=way, most=4,
        leading=1.25,
    )  # fmt: skip
    for said, chance in ((texts.sentence(rng), 0.5), (texts.person(rng), 0.8), (texts.company(rng), 0.5),
                         (texts.date(rng), 0.6)):  # fmt: skip
        if rng.random() < chance and y + 6 * look.pitch < frame.bottom:
            y += round(look.size * rng.uniform(1.5, 5))
            y = sheet.text("text", said, look.left, look.right, y, align=way, most=3)
    if y + 12 * look.pitch < frame.bottom and rng.random() < 0.3:
        low = frame.bottom - round(6 * look.pitch)
        sheet.text("text", texts.paragraph(rng, 200), look.left, look.right, low, most=5, size=look.small(0.85))
    sheet.blocks += frame.closing
    return sheet.page()


def references(rng: random.Random, world: World) -> Page:
    """What a work cites, with hanging marks or lines, in one column or two."""
    sheet = Sheet(rng, world, make_look(rng, world, (1.1, 1.5)))
    look, texts = sheet.look, world.texts
    frame = framed(sheet)
    y = frame.top
    if rng.random() < 0.7:
        said = rng.choice(("References", "Bibliography", "Literature", "Works cited", "Sources"))
        size = round(look.size * rng.uniform(1.1, 1.8))
        y = sheet.text("title", said, look.left, look.right, y, face=look.display, size=size, most=1) + look.size
    mark = rng.choice(("[{}]", "{}.", "({})", "{}", "•"))
    count = rng.choice((1, 2))
    between = round(look.width * 0.04) if count > 1 else 0
    width = (look.across - between * (count - 1)) // count
    number, apart = rng.randint(1, 80), rng.choice((0.0, 0.2, 0.5))
    for index in range(count):
        items = []
        for _ in range(rng.randint(12, 45)):
            said = f"{texts.person(rng)}, {texts.title(rng)}. {texts.company(rng)}, {rng.randint(1900, 2030)}."
            items.append((mark.format(number), said))
            number += 1
        x = look.left + index * (width + between)
        sheet.listed(items, x, x + width, y, frame.bottom, apart)
    sheet.blocks += frame.closing
    return sheet.page()


def side_notes(rng: random.Random, world: World) -> Page:
    """A column of text, and smaller notes beside some of its paragraphs, each read after that paragraph."""
    look = make_look(rng, world, (1.3, 1.7))
    note = round(look.across * rng.uniform(0.18, 0.27))
    look = fitted(look, 1.25 * note)  # notes are smaller than the text
    sheet = Sheet(rng, world, look)
    frame = framed(sheet)
    between = round(look.size * rng.uniform(1.2, 2.2))
    right = rng.random() < 0.5
    x0, x1 = (look.left, look.right - note - between) if right else (look.left + note + between, look.right)
    beside = (x1 + between, look.right) if right else (look.left, look.left + note)
    face = rng.choice((look.body, look.italic))
    y, free = frame.top, frame.top
    while y < frame.bottom - 2 * look.pitch:
        kind = rng.choices(("text", "heading", "list", "image"), (78, 12, 6, 4))[0]
        start = y
        if kind == "text":
            y, _ = paragraph(sheet, x0, x1, y, frame.bottom, 6)
        else:
            y = {"heading": heading, "list": bullets, "image": image}[kind](sheet, x0, x1, y, frame.bottom)
        if y == start:
            break
        if kind == "text" and start >= free and rng.random() < 0.45:
            free = _note(sheet, look, beside, start, frame.bottom, face is look.italic) + 2 * look.size
        y += spacing(sheet, kind)
    sheet.blocks += frame.closing
    return sheet.page()


def _note(sheet: Sheet, look: Look, beside: tuple[int, int], y: int, end: int, italic: bool) -> int:
    size = look.small(0.8)
    most = min(7, int((end - y) / (1.25 * size)))
    said = sheet.world.texts.paragraph(sheet.rng, sheet.rng.randint(20, 110))
    if most < 1:
        return y
    first = len(sheet.marks)
    face = look.italic if italic else look.body
    below = sheet.text("text", said, *beside, y, face=face, size=size, leading=1.25, most=most)
    if sheet.rng.random() < 0.1:
        sheet.behind(first, Shape((beside[0] - 4, y - 3, beside[1] + 4, below + 4), pale(sheet.rng)))
    return below
