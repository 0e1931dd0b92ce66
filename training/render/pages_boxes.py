"""Pages of boxes in columns, each with a type and an order of its own: what stands in one tells nothing of the next.

So it is learnt what a title or a text looks like, and not where it stands on pages of one name.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from training.render.blocks import Page, Shape
from training.render.pages_elements import Element, bullets, code, equation, image, table, text
from training.render.pages_flow import framed, places, titled
from training.render.pages_look import EMS, Look, fitted, make_look
from training.render.pages_sheet import Sheet
from training.render.pages_words import Align
from training.render.tables_layout import pale
from training.render.typeset import Colour
from training.world import World

# Of columns, to each other. None is narrow at the left: such pages are held out.
WIDTHS = ((1,), (1, 1), (1, 1), (1, 1, 1), (2, 1), (3, 2), (2, 3), (2, 1, 1), (1, 1, 1, 1))
ROWS = 0.35  # of the pages, which are read row by row
MOST = 7  # things in a box
LEAST = 6  # lines of type that are left where another box begins


def boxes(rng: random.Random, world: World) -> Page:
    look, widths = make_look(rng, world, (1.1, 1.8), rng.random() < 0.15), rng.choice(WIDTHS)
    rows = rng.random() < ROWS
    if rows:
        widths = rng.choice([some for some in WIDTHS if len(some) > 1])
    look = fitted(look, 0.9 * look.across * min(widths) / sum(widths))
    sheet = Sheet(rng, world, look)
    frame = framed(sheet, rng.random(), rng.random(), rng.random())
    top = titled(sheet, frame.top) if rng.random() < 0.3 else frame.top
    plain = rng.random()  # the share of boxes without a ground or an edge
    if rows:
        _rows(sheet, widths, top, frame.bottom, plain)
    else:
        _columns(sheet, widths, top, frame.bottom, plain)
    sheet.blocks += frame.closing
    return sheet.page()


def _places(sheet: Sheet, widths: tuple[int, ...]) -> list[tuple[int, int]]:
    return places(sheet.look, widths, round(sheet.look.width * sheet.rng.uniform(0.02, 0.05)))


def _columns(sheet: Sheet, widths: tuple[int, ...], top: int, end: int, plain: float) -> None:
    """Read one after the other, from the top to the bottom."""
    rng, look = sheet.rng, sheet.look
    for x0, x1 in _places(sheet, widths):
        y = top
        if rng.random() < 0.15:  # they need not begin together
            y += round((end - top) * rng.uniform(0.02, 0.3))
        while y + LEAST * look.pitch < end:
            below = _box(sheet, x0, x1, y, end, rng.random() < plain)
            if below == y:
                break
            y = below + round(look.pitch * rng.choice((0.7, 1.0, 1.6, 3.0)))
            if rng.random() < 0.05:
                break


def _rows(sheet: Sheet, widths: tuple[int, ...], top: int, end: int, plain: float) -> None:
    """Boxes side by side, and others below them in columns that may be others; nothing stands over all columns."""
    rng, look, y = sheet.rng, sheet.look, top
    while y + LEAST * look.pitch < end:
        stop = min(end, y + round((end - top) * rng.uniform(0.15, 0.5)))
        below = max(_box(sheet, x0, x1, y, stop, rng.random() < plain) for x0, x1 in _places(sheet, widths))
        if below == y:
            break
        y = below + round(look.pitch * rng.choice((1.0, 1.6, 3.0)))
        if rng.random() < 0.4:
            widths = rng.choice([some for some in WIDTHS if len(some) > 1 and min(some) / sum(some) >= 0.25])


def _box(sheet: Sheet, x0: int, x1: int, y: int, end: int, plain: bool) -> int:
    rng = sheet.rng
    look = _look(sheet, x1 - x0)
    pad = 0 if plain else round(look.size * rng.uniform(0.5, 1.2))
    inner = Sheet(rng, sheet.world, replace(look, bottom=end - pad))
    below = _filled(inner, x0 + pad, x1 - pad, y + pad, end - pad)
    if not inner.blocks:
        return y
    if not plain:
        edge = (rng.randint(0, 190),) * 3 if rng.random() < 0.6 else None
        fill = pale(rng) if edge is None or rng.random() < 0.5 else None
        below += pad
        inner.behind(0, Shape((x0, y, x1, below), fill, edge, rng.choice((1, 1, 2)), rng.choice((0, 0, pad // 2))))
    sheet.marks += inner.marks
    sheet.blocks += inner.blocks
    return below


def _look(sheet: Sheet, width: int) -> Look:
    """The page's, with a type that may be another, of another size."""
    rng, look = sheet.rng, sheet.look
    if rng.random() < 0.3:
        body = sheet.world.fonts.pick(rng, "body")
        strong = sheet.world.fonts.styled(body, True, False)
        display = sheet.world.fonts.pick(rng, "display") if rng.random() < 0.4 else strong
        look = replace(look, body=body, strong=strong, display=display,
                       italic=sheet.world.fonts.styled(body, False, True))  # fmt: skip
    size = max(9, min(round(look.size * rng.uniform(0.85, 1.3)), width // EMS))
    return replace(look, size=size, align=rng.choice(("left", "justified")),
                   accent=look.ink if rng.random() < 0.6 else _colour(rng))  # fmt: skip


def _filled(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    """Things below each other, in any order but for titles, of which none follows another. Returns where they end."""
    rng = sheet.rng
    elements = _ELEMENTS | {"title": _titles(sheet)}
    names = sorted(elements)
    weights = [_MOST[name] * rng.random() ** 2 for name in names]
    lowest, before = y, ""
    for _ in range(rng.randint(1, MOST)):
        name = rng.choices(names, weights)[0]
        if name == before == "title":
            continue
        if y + 2.5 * sheet.look.pitch > end:
            break
        below = elements[name](sheet, x0, x1, y, end)
        if below > y:
            lowest, before = below, name
            y = below + round(sheet.look.size * (rng.uniform(0.2, 0.7) if name == "title" else rng.uniform(0.5, 1.3)))
    return lowest


def _titles(sheet: Sheet) -> Element:
    """How all titles of a box are set: unlike its text, by their weight, size, face or colour."""
    rng, look, texts = sheet.rng, sheet.look, sheet.world.texts
    face = rng.choice((look.strong, look.strong, look.display, look.italic, look.body))
    size = round(look.size * rng.uniform(0.95, 1.5))
    colour = look.accent
    if face in (look.italic, look.body):
        size = max(size, round(1.25 * look.size))
    align: Align = rng.choice(("left", "left", "left", "centre"))
    number = rng.choice(("", "", "", "{} ", "{}. ", "({}) ", "No. {}: "))
    capitals, mark = rng.random() < 0.12, rng.choice(("", "", "", ":", "?", "."))
    said = rng.choice((texts.title, texts.title, texts.product, texts.company, lambda rng: _words(rng, sheet.world)))
    begin = rng.randint(1, 9)

    def one(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
        nonlocal begin
        if y + 2 * size * look.leading > end:
            return y
        told = said(rng)
        told = number.format(begin) + (told.upper() if capitals else told) + mark
        begin += 1
        return sheet.text("title", told, x0, x1, y, face=face, size=size, align=align, colour=colour, most=2)

    return one


def _words(rng: random.Random, world: World) -> str:
    """A sentence, or what it begins with."""
    return " ".join(world.texts.sentence(rng).rstrip(".!?").split()[: rng.randint(3, 12)])


def _remark(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    """A line that is no paragraph: an amount, a date, a name, a place."""
    rng, texts, look = sheet.rng, sheet.world.texts, sheet.look
    saying: Callable[[random.Random], str] = rng.choice(
        (texts.date, texts.person, texts.company, lambda rng: f"{rng.choice('$€£')}{texts.amount(rng, 1, 2000):,.2f}")
    )
    face, size = rng.choice((look.body, look.body, look.italic)), look.small(rng.uniform(0.8, 1.0))
    return sheet.text("text", saying(rng), x0, x1, y, face=face, size=size, most=1)


def _colour(rng: random.Random) -> Colour:
    return rng.randint(0, 170), rng.randint(0, 120), rng.randint(0, 190)


_ELEMENTS: dict[str, Element] = {
    "text": text, "remark": _remark, "list": bullets, "image": image, "table": table, "equation": equation,
    "code": code,
}  # fmt: skip
# How much of each there may be in a box, to each other.
_MOST = {"title": 60, "text": 90, "remark": 25, "list": 35, "image": 45, "table": 20, "equation": 8, "code": 6}
