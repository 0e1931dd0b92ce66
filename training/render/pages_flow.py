"""Pages whose columns are filled from the top: with what, a family says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.render.blocks import Block, Page, Shape, apart
from training.render.families import Family
from training.render.pages_elements import ELEMENTS, going_on, heading, image, paragraph, table
from training.render.pages_look import Look, fitted, make_look
from training.render.pages_sheet import Sheet
from training.render.pages_words import Align, Measured, extent, lines_of
from training.render.typeset import shown
from training.world import World


@dataclass(frozen=True)
class Frame:
    """Where a page's content may stand, and what is read after it."""

    top: int
    bottom: int
    closing: tuple[Block, ...]


def flowing(family: Family, rng: random.Random, world: World) -> Page:
    look = make_look(rng, world, family.size, family.wide)
    sheet = Sheet(rng, world, fitted(look, 0.9 * look.across * min(family.widths) / sum(family.widths)))
    frame = framed(sheet, family.header, family.footer, family.number)
    look = sheet.look
    y = titled(sheet, frame.top) if rng.random() < family.title else frame.top
    closing, end = frame.closing, frame.bottom
    if rng.random() < family.footnotes:
        notes = footnotes(sheet, end)
        closing = (*notes, *closing)
        end = min([block.box[1] for block in notes], default=end) - look.gap
    while y < end - 4 * look.pitch:
        # a band of columns, and then something over all of them
        band = end if rng.random() > family.across else y + round((end - y) * rng.uniform(0.25, 0.6))
        y = columns(sheet, family, y, band) + look.gap
        if band < end:
            over = rng.choice((image, image, table, heading))
            y = over(sheet, look.left, look.right, y, end) + round(1.5 * look.gap)
        elif rng.random() < family.short or len(family.widths) > 1:
            break
    sheet.blocks += closing
    return sheet.page()


def columns(sheet: Sheet, family: Family, y: int, end: int) -> int:
    """Fill all columns from y to `end`; returns where the lowest ends."""
    rng, look = sheet.rng, sheet.look
    between = round(look.width * rng.uniform(0.025, 0.05))
    found, lowest = places(look, family.widths, between), y
    ruled = rng.random() < 0.15
    rest: Sequence[Measured] = ()
    for index, (x0, x1) in enumerate(found):
        same = index + 1 < len(found) and family.widths[index + 1] == family.widths[index]
        below, rest = column(sheet, family, x0, x1, y, end, rest, same)
        lowest = max(lowest, below)
    for x0, _ in found[1:] if ruled and lowest > y else ():
        sheet.marks.append(_between(x0 - between // 2, y, lowest, sheet))
    return lowest


def places(look: Look, widths: Sequence[int], between: int) -> list[tuple[int, int]]:
    """Left and right of columns of these widths, to each other, with so many pixels between them."""
    room, x = look.across - between * (len(widths) - 1), look.left
    found = []
    for share in widths:
        width = round(room * share / sum(widths))
        found.append((x, x + width))
        x += width + between
    return found


def _between(x: int, y0: int, y1: int, sheet: Sheet) -> Shape:
    return Shape((x, y0, x + 1, y1), sheet.look.ink)


def column(
    sheet: Sheet, family: Family, x0: int, x1: int, y: int, end: int, rest: Sequence[Measured], goes_on: bool
) -> tuple[int, Sequence[Measured]]:
    """First what the column before has left of a paragraph. Returns where it ends, and what is left for the next."""
    rng, look = sheet.rng, sheet.look
    kinds, weights = zip(*family.elements.items(), strict=True)
    stop = end if rest or rng.random() > family.short else y + round((end - y) * rng.uniform(0.2, 1.0))
    lowest, before = y, ""
    if rest:
        lowest, rest = going_on(sheet, rest, x0, x1, y, end)
        if rest:
            return lowest, rest
        y, before = lowest + look.gap, "text"
    while y < stop - 1.5 * look.pitch:
        kind = rng.choices(kinds, weights)[0]
        if kind == "text":
            kind = rng.choices(("text", "panel", "code"), (95, 3, 2))[0]
        if kind == "heading" and (before == "heading" or y > stop - 7 * look.pitch):
            kind = "text"
        if kind == "text":
            below, rest = paragraph(sheet, x0, x1, y, stop, family.lines)
        else:
            below = ELEMENTS[kind](sheet, x0, x1, y, stop)
            if below == y:  # it did not fit
                kind = "text"
                below, rest = paragraph(sheet, x0, x1, y, stop, family.lines)
        if below == y:
            break
        lowest, before = below, kind
        if rest:
            return lowest, rest if goes_on and stop == end else ()
        y = below + spacing(sheet, kind)
    return lowest, ()


def spacing(sheet: Sheet, kind: str) -> int:
    """Below an element of that kind."""
    rng, look = sheet.rng, sheet.look
    if kind == "heading":
        return round(max(0.25 * look.size, look.gap * 0.6))
    if kind != "text":
        return round(max(look.size, look.gap) * rng.choice((1.0, 1.5)))
    return round(look.gap * rng.choice((0.8, 1.0, 1.0, 1.0, 1.8)))


# ---- around the text -------------------------------------------------------------------------------------------------


def framed(sheet: Sheet, header: float = 0.5, footer: float = 0.3, number: float = 0.6) -> Frame:
    """Puts what stands above and below the text, by these chances; the header is read first, the rest last."""
    rng, look, texts = sheet.rng, sheet.look, sheet.world.texts
    small, top = look.small(0.85), look.top
    if rng.random() < header:
        y = max(4, look.top - round(2.2 * small))
        if rng.random() < 0.25:  # two of them, at both sides
            _line(sheet, "header", rng.choice((texts.title, texts.company))(rng), small, y, "left", 0.55)
            if sheet.blocks:
                _line(sheet, "header", texts.date(rng), small, y, "right", 0.35)
        else:
            said = rng.choice((texts.title, texts.company, texts.date))(rng)
            _line(sheet, "header", said, small, y, rng.choice(("left", "right", "centre")))
        for block in sheet.blocks:
            top = max(top, block.box[3] + look.gap)
        if sheet.blocks and rng.random() < 0.4:
            below = max(block.box[3] for block in sheet.blocks) + 4
            sheet.rule(look.left, look.right, below)
            top = max(top, below + look.gap)
    before = len(sheet.blocks)
    foot = look.bottom + round(0.8 * small)
    if foot + 1.5 * small < look.height:
        side: Align = rng.choice(("centre", "right", "left"))
        if rng.random() < footer:
            other: Align = "left" if side != "left" else "right"
            said = rng.choice((texts.company, texts.title, texts.date))(rng)
            _line(sheet, "footer", said, small, foot, other, 0.6)
        if rng.random() < number:
            told = rng.choice(("{}", "{}", "- {} -", "Page {}", "{} / 250", "p. {}", "Page {} of 250"))
            _line(sheet, "page_number", told.format(rng.randint(1, 240)), small, foot, side, 0.25)
        if len(sheet.blocks) > before and rng.random() < 0.2:
            sheet.rule(look.left, look.right, foot - round(0.4 * small))
    closing = tuple(sheet.blocks[before:])
    del sheet.blocks[before:]
    return Frame(top, look.bottom, closing)


def _line(sheet: Sheet, kind: str, said: str, size: int, y: int, align: Align, share: float = 1.0) -> None:
    """One line of at most that share of the text's width, which touches no other block."""
    look = sheet.look
    if extent(look.body, size, shown(look.body, said)) > look.across * share:
        return
    marks, blocks = len(sheet.marks), len(sheet.blocks)
    sheet.text(kind, said, look.left, look.right, y, size=size, align=align, most=1)
    if len(sheet.blocks) > blocks and any(not apart(sheet.blocks[-1].box, other.box) for other in sheet.blocks[:-1]):
        del sheet.blocks[-1], sheet.marks[marks:]


def titled(sheet: Sheet, y: int) -> int:
    """What the page is called, and perhaps who wrote it and what it says in short."""
    rng, look, texts = sheet.rng, sheet.look, sheet.world.texts
    align: Align = rng.choice(("centre", "left"))
    size = round(look.size * rng.uniform(1.7, 2.8))
    y = sheet.text(
        "title", texts.title(rng), look.left, look.right, y, face=look.display, size=size, align=align, most=3,
        leading=1.2,
    )  # fmt: skip
    y += look.size
    if rng.random() < 0.4:
        names = ", ".join(texts.person(rng) for _ in range(rng.randint(1, 4)))
        y = sheet.text("text", names, look.left, look.right, y, align=align, most=2) + look.size
        if rng.random() < 0.4:
            inset = round(look.across * rng.choice((0.0, 0.08)))
            said = rng.choice(("Abstract. ", "Summary: ", "")) + texts.paragraph(rng, rng.randint(200, 700))
            y = sheet.text(
                "text", said, look.left + inset, look.right - inset, y, size=look.small(0.9), align=look.align, most=9
            )  # fmt: skip
            y += look.size
    if rng.random() < 0.15:
        sheet.rule(look.left, look.right, y, rng.choice((1, 2, 4)))
        y += look.size
    return y + look.gap // 2


def footnotes(sheet: Sheet, bottom: int) -> list[Block]:
    """Some at the foot of the page; they are taken off the sheet's blocks, for they are read later."""
    rng, look = sheet.rng, sheet.look
    size, first = look.small(0.8), rng.randint(1, 9)
    told = [f"{first + index} {sheet.world.texts.sentence(rng)}" for index in range(rng.choice((1, 1, 2, 3)))]
    notes = [lines_of(look.body, size, shown(look.body, said), look.across)[:3] for said in told]
    pitch, before = 1.25 * size, len(sheet.blocks)
    y = bottom - round(sum(len(lines) * pitch + 0.4 * size for lines in notes))
    sheet.rule(look.left, look.left + look.across // rng.choice((2, 3, 4)), y - size // 2)
    for lines in notes:
        sheet.lines("page_footnote", lines, look.left, look.right, y, look.body, size, "left", leading=1.25)
        y += round(len(lines) * pitch + 0.4 * size)
    found = sheet.blocks[before:]
    del sheet.blocks[before:]
    return found
