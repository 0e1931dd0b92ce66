"""What columns are filled with: each function puts one thing on a sheet between x0 and x1, from y to `end`.

Returns where it ends; y where it does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from training.render.blocks import Shape
from training.render.pages_sheet import Sheet
from training.render.pages_words import Align, Measured, extent, lines_of
from training.render.tables_layout import pale
from training.render.typeset import Colour, shown

Element = Callable[[Sheet, int, int, int, int], int]


def paragraph(sheet: Sheet, x0: int, x1: int, y: int, end: int, lines: float = 5) -> tuple[int, Sequence[Measured]]:
    """Also returns the lines that did not fit."""
    look, rng = sheet.look, sheet.rng
    wanted = max(1, min(round(rng.expovariate(1 / lines)) + 1, 30))
    text = sheet.world.texts.paragraph(rng, round(wanted * (x1 - x0) / (0.5 * look.size)))
    found = lines_of(look.body, look.size, shown(look.body, text), x1 - x0, look.indent)
    return going_on(sheet, found, x0, x1, y, end, look.indent)


def going_on(
    sheet: Sheet, lines: Sequence[Measured], x0: int, x1: int, y: int, end: int, indent: int = 0
) -> tuple[int, Sequence[Measured]]:
    """As many lines of a paragraph as fit, and those that do not."""
    look = sheet.look
    fits = max(0, min(len(lines), int((end - y) / look.pitch)))
    last = fits == len(lines)
    below = sheet.lines(
        "text", lines[:fits], x0, x1, y, look.body, look.size, look.align, indent=indent, ends=last
    )  # fmt: skip
    return below, lines[fits:]


def text(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    return paragraph(sheet, x0, x1, y, end)[0]


def heading(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    look, rng = sheet.look, sheet.rng
    said = sheet.world.texts.title(rng)
    if rng.random() < 0.35:
        said = f"{rng.randint(1, 9)}{rng.choice(('.', '', f'.{rng.randint(1, 9)}'))} {said}"
    size = round(look.size * rng.uniform(1.05, 1.6))
    if y + 3 * size > end:
        return y
    if rng.random() < 0.06:
        return bar(sheet, said, x0, x1, y, size)
    return sheet.text(
        "title", said, x0, x1, y, face=look.display, size=size, most=2, align="centre" if rng.random() < 0.1 else "left"
    )


def bar(sheet: Sheet, said: str, x0: int, x1: int, y: int, size: int) -> int:
    """A title on a bar of colour."""
    rng, look = sheet.rng, sheet.look
    first, pad = len(sheet.marks), round(size * rng.uniform(0.2, 0.5))
    dark = rng.random() < 0.6
    fill = (rng.randint(0, 120), rng.randint(0, 90), rng.randint(0, 140)) if dark else pale(rng)
    ink: Colour = (255, 255, 255) if dark else look.ink
    below = sheet.text(
        "title", said, x0 + pad, x1 - pad, y + pad, face=look.display, size=size, most=1, colour=ink
    )  # fmt: skip
    sheet.behind(first, Shape((x0, y, x1, below + pad), fill))
    return below + pad


def bullets(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    rng = sheet.rng
    mark = rng.choice(("•", "-", "{}.", "({})", "{})", "[{}]", "*", "–"))
    most = rng.choice((60, 160, 240))
    items = [
        (mark.format(index + 1), sheet.world.texts.paragraph(rng, rng.randint(20, most)))
        for index in range(rng.randint(2, 8))
    ]
    shift = rng.choice((0, 0, sheet.look.size, 2 * sheet.look.size))
    return sheet.listed(items, x0 + shift, x1, y, end, rng.choice((0.0, 0.0, 0.3, 0.5)))


def image(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    """With its caption, below it or now and then above."""
    rng, size = sheet.rng, sheet.look.size
    width = x1 - x0 if rng.random() < 0.6 else round((x1 - x0) * rng.uniform(0.4, 0.95))
    height = min(round(width * rng.uniform(0.3, 0.9)), round(0.45 * sheet.look.height))
    said = rng.random() < 0.65
    room = 4 * size if said else 0
    if y + height + room > end or height < 40:
        return y
    if said and rng.random() < 0.12:
        y = caption(sheet, "image_caption", "Figure", x0, x1, y) + size // 2
        said = False
    left = x0 + (x1 - x0 - width) // 2
    y = sheet.image(left, left + width, y, height)
    return caption(sheet, "image_caption", "Figure", x0, x1, y + size // 2) if said else y


def table(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    """With its caption, above it or below."""
    rng, size = sheet.rng, sheet.look.size
    found = sheet.tabled(x1 - x0, 8 if x1 - x0 > 0.5 * sheet.look.width else 4)
    said = rng.random() < 0.6
    if found is None or y + found[1].height + (4 * size if said else 0) > end:
        return y
    above = rng.random() < 0.7
    if said and above:
        y = caption(sheet, "table_caption", "Table", x0, x1, y) + size // 2
    inked = found[1].box[2] - found[1].box[0]
    left = x0 if rng.random() < 0.3 else x0 + (x1 - x0 - inked) // 2
    y = sheet.table(found, left, y)
    return caption(sheet, "table_caption", "Table", x0, x1, y + size // 2) if said and not above else y


def caption(sheet: Sheet, kind: str, word: str, x0: int, x1: int, y: int) -> int:
    rng, look = sheet.rng, sheet.look
    said = f"{rng.choice((word, word, word[:3] + '.', word.upper()))} {rng.randint(1, 20)}{rng.choice((':', '.', ''))} "
    said += rng.choice((sheet.world.texts.title, sheet.world.texts.sentence))(rng)
    align: Align = rng.choice(("left", "centre"))
    face = rng.choice((look.body, look.body, look.italic, look.strong))
    return sheet.text(kind, said, x0, x1, y, face=face, size=look.small(rng.uniform(0.8, 0.95)), align=align, most=2)


def equation(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    rng, look = sheet.rng, sheet.look
    letters = "abcdefxyzuvnmABCEFPQSTV"
    parts = [
        f"{rng.choice(letters)}{rng.choice(('', '', rng.choice('0123456789'), '(' + rng.choice(letters) + ')'))}"
        for _ in range(rng.randint(3, 6))
    ]
    said = f"{parts[0]} = " + "".join(f"{part} {rng.choice('+-*/')} " for part in parts[1:-1]) + parts[-1]
    size = round(look.size * 1.15)
    if y + 2 * size > end or extent(look.italic, size, said) > x1 - x0:
        return y
    return sheet.text("equation", said, x0, x1, y, face=look.italic, size=size, align="centre", most=1)


_NAMES = ("value", "count", "item", "path", "total", "result", "index", "name", "size", "left", "key", "row", "limit")


def code(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    """Some lines of a program, on a ground of their own or not."""
    rng, look = sheet.rng, sheet.look
    size = look.small(rng.uniform(0.8, 1.0))
    deep, lines = 0, []
    for _ in range(rng.randint(2, 10)):
        a, b, c = (rng.choice(_NAMES) for _ in range(3))
        number = rng.randint(0, 99)
        line = rng.choice((f"{a} = {b}({c}, {number})", f"if {a} > {number}:", f"for {a} in {b}:", f"return {a}",
                           f"{a}.{b}({c})", f"# {a} of the {b}", f"{a}[{number}] = {c}"))  # fmt: skip
        lines.append((deep, line))
        deep = deep + 1 if line.endswith(":") else max(0, deep - rng.choice((0, 0, 1)))
    grounded = rng.random() < 0.5
    pad = size // 2 if grounded else 0
    high = round(len(lines) * size * 1.25) + 2 * pad
    step = 2 * size
    if y + high > end or any(d * step + extent(look.mono, size, line) > x1 - x0 - 2 * pad for d, line in lines):
        return y
    if grounded:
        fill = (rng.randint(228, 246),) * 3
        sheet.marks.append(Shape((x0, y, x1, y + high), fill, rng.choice((None, (190, 190, 190)))))
    before = len(sheet.blocks)
    for index, (d, line) in enumerate(lines):
        at = y + pad + round(index * size * 1.25)
        sheet.text("code", line, x0 + pad + d * step, x1, at, face=look.mono, size=size, most=1)
    below = joined(sheet, before, "\n")
    return max(below, y + high if grounded else below)


def joined(sheet: Sheet, before: int, between: str = " ") -> int:
    """Makes one block of all those from `before` on; returns where it ends."""
    some = sheet.blocks[before:]
    boxes = [block.box for block in some]
    box = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    sheet.blocks[before:] = [replace(some[0], box=box, text=between.join(block.text for block in some))]
    return box[3]


def panel(sheet: Sheet, x0: int, x1: int, y: int, end: int) -> int:
    """A paragraph in a box, perhaps with a title."""
    rng, look = sheet.rng, sheet.look
    pad = round(look.size * rng.uniform(0.5, 1.2))
    if y + 2 * pad + 5 * look.pitch > end:
        return y
    first, top = len(sheet.marks), y
    y += pad
    if rng.random() < 0.5:
        said = sheet.world.texts.title(rng)
        y = sheet.text("title", said, x0 + pad, x1 - pad, y, face=look.strong, most=1) + look.size // 2
    most = int((end - pad - y) / look.pitch)
    said = sheet.world.texts.paragraph(rng, rng.randint(60, 400))
    y = sheet.text("text", said, x0 + pad, x1 - pad, y, most=min(most, 8))
    edge = look.ink if rng.random() < 0.5 else None
    fill = pale(rng) if edge is None or rng.random() < 0.5 else None
    corner = rng.choice((0, 0, pad // 2))
    sheet.behind(first, Shape((x0, top, x1, y + pad), fill, edge, rng.choice((1, 2)), corner))
    return y + pad


ELEMENTS: dict[str, Element] = {
    "text": text, "heading": heading, "list": bullets, "image": image, "table": table, "equation": equation,
    "code": code, "panel": panel,
}  # fmt: skip
