"""Layouts that are held out: a sidebar in colour, questions and answers, a grid of goods."""

from __future__ import annotations

import random

from training.render.blocks import Page, Shape
from training.render.pages_elements import bullets, heading, image, text
from training.render.pages_flow import framed, spacing, titled
from training.render.pages_look import fitted, make_look
from training.render.pages_sheet import Sheet
from training.render.tables_layout import pale
from training.world import World


def sidebar(rng: random.Random, world: World) -> Page:
    """A coloured strip along one side; it is read in the order in which it stands, from the left."""
    look = make_look(rng, world, (1.3, 1.7))
    strip = round(look.width * rng.uniform(0.22, 0.34))
    look = fitted(look, 0.8 * strip)
    sheet = Sheet(rng, world, look)
    at_left = rng.random() < 0.5
    pad = round(look.size * rng.uniform(1.0, 1.8))
    box = (0, 0, strip, look.height) if at_left else (look.width - strip, 0, look.width, look.height)
    sheet.marks.append(Shape(box, pale(rng)))
    beside = (pad, strip - pad) if at_left else (look.width - strip + pad, look.width - pad)
    main = (strip + pad, look.right) if at_left else (look.left, look.width - strip - pad)
    for x0, x1 in (beside, main) if at_left else (main, beside):
        in_strip = (x0, x1) == beside
        y = look.top
        kinds = (heading, bullets, text, image) if in_strip else (heading, text, text, text, bullets)
        weights = (30, 25, 35, 10) if in_strip else (18, 26, 26, 26, 4)
        before = None
        while y < look.bottom - 2 * look.pitch:
            kind = rng.choices(kinds, weights)[0]
            if kind is before is heading:
                continue
            below = kind(sheet, x0, x1, y, look.bottom)
            if below == y:
                break
            y, before = below + spacing(sheet, "heading" if kind is heading else "list"), kind
            if in_strip and rng.random() < 0.12:
                break
    return sheet.page()


def questions(rng: random.Random, world: World) -> Page:
    """Each question a title, each answer a paragraph or a list below it."""
    sheet = Sheet(rng, world, make_look(rng, world, (1.4, 2.1)))
    look = sheet.look
    frame = framed(sheet)
    y = titled(sheet, frame.top) if rng.random() < 0.6 else frame.top
    before, after = rng.choice((("Q: ", "A: "), ("", ""), ("{}. ", ""), ("Question {}: ", "")))
    inset = rng.choice((0, look.size, 2 * look.size))
    number = 0
    while y < frame.bottom - 4 * look.pitch:
        number += 1
        asked = " ".join(world.texts.sentence(rng).rstrip(".!?").split()[:12]) + "?"
        y = sheet.text(
            "title", before.format(number) + asked, look.left, look.right, y, face=look.strong, most=2
        )  # fmt: skip
        y += max(look.size // 3, round(0.5 * look.gap))
        if rng.random() < 0.12:
            below = bullets(sheet, look.left + inset, look.right, y, frame.bottom)
        else:
            most = min(rng.randint(1, 8), int((frame.bottom - y) / look.pitch))
            said = after + world.texts.paragraph(rng, rng.randint(60, 600))
            below = sheet.text("text", said, look.left + inset, look.right, y, most=max(1, most), align=look.align)
        y = max(below, y) + round(look.size * rng.uniform(0.9, 1.6))
    sheet.blocks += frame.closing
    return sheet.page()


def catalogue(rng: random.Random, world: World) -> Page:
    """A grid; in each field a picture, a name, and perhaps a description or a price. Read row by row."""
    look, texts, columns = make_look(rng, world, (1.2, 1.6)), world.texts, rng.randint(2, 4)
    look = fitted(look, 0.9 * look.across / columns)
    sheet = Sheet(rng, world, look)
    frame = framed(sheet)
    y = titled(sheet, frame.top) if rng.random() < 0.7 else frame.top
    between = round(look.width * rng.uniform(0.03, 0.05))
    width = (look.across - between * (columns - 1)) // columns
    high = round(width * rng.uniform(0.5, 0.95))
    lines, priced, edged = rng.randint(0, 4), rng.random() < 0.6, rng.random() < 0.3
    whole = high + round((4.6 + lines + priced) * look.pitch)
    while y + whole < frame.bottom:
        for index in range(columns):
            x0 = look.left + index * (width + between)
            x1 = x0 + width
            if edged:
                sheet.marks.append(Shape((x0 - 6, y - 6, x1 + 6, y + whole - 10), None, (150, 150, 150)))
            at = sheet.image(x0, x1, y, high) + look.size // 2
            at = sheet.text("title", texts.product(rng), x0, x1, at, face=look.strong, most=2) + look.size // 2
            if lines:
                said = texts.paragraph(rng, lines * 30)
                at = sheet.text("text", said, x0, x1, at, size=look.small(0.9), most=lines) + look.size // 2
            if priced:
                sheet.text("text", f"${texts.amount(rng, 1, 999):,.2f}", x0, x1, at, most=1)
        y += whole + look.size
    sheet.blocks += frame.closing
    return sheet.page()
