"""Whole pages, and what stands where on them.

A list is one block of type `list`, and charts are images, as are photographs. A caption of a table stands above it or
below it, one of an image below it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from training.render import tables
from training.render.client import LAYOUT, sent
from training.render.degrade import degrade, warp
from training.render.families import HELD_OUT, TRAIN, Family
from training.render.figures import figure
from training.render.typeset import Align, Box, Colour, Line, Paper, shown, typeset, width_of, wrap
from training.samples import Pixels, Sample
from training.world import Face, World

SIDE = 1036  # pixels, as the client squashes a page
CLEAN = 0.35  # of pages that nothing has happened to


@dataclass(frozen=True)
class Block:
    kind: str
    box: Box
    text: str = ""  # where it is text


@dataclass(frozen=True)
class Page:
    """Drawn, with its blocks in the order in which they are read."""

    pixels: Pixels
    blocks: tuple[Block, ...]


def page(rng: random.Random, world: World) -> Sample:
    return asked(rng, world, worn(rng, squashed(composed(rng, world))))


def clean_page(rng: random.Random, world: World) -> Sample:
    return asked(rng, world, squashed(composed(rng, world)))


def asked(rng: random.Random, world: World, found: Page) -> Sample:
    return sent(rng, world, "layout", LAYOUT, found.pixels, answer(found))


def answer(found: Page) -> str:
    """As MinerU says it, in thousandths of the page."""
    height, width = found.pixels.shape[:2]
    lines = []
    for block in found.blocks:
        x0, y0, x1, y1 = block.box
        place = (
            round(1000 * x0 / width),
            round(1000 * y0 / height),
            round(1000 * x1 / width),
            round(1000 * y1 / height),
        )
        lines.append(
            f"<|box_start|>{' '.join(map(str, place))}<|box_end|><|ref_start|>{block.kind}<|ref_end|><|rotate_up|>"
        )
    return "\n".join(lines)


def squashed(found: Page) -> Page:
    """To a square, whatever its sides are."""
    height, width = found.pixels.shape[:2]
    pixels = np.asarray(Image.fromarray(found.pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    across, down = SIDE / width, SIDE / height
    blocks = tuple(
        replace(block, box=(round(block.box[0] * across), round(block.box[1] * down),
                            round(block.box[2] * across), round(block.box[3] * down)))
        for block in found.blocks
    )  # fmt: skip
    return Page(pixels, blocks)


def worn(rng: random.Random, found: Page) -> Page:
    if rng.random() < CLEAN:
        return found
    pixels, blocks = found.pixels, found.blocks
    if rng.random() < 0.35:
        pixels, boxes = warp(pixels, [block.box for block in blocks], rng, rng.uniform(0.2, 1.0))
        blocks = tuple(replace(block, box=box) for block, box in zip(blocks, boxes, strict=True))
    return Page(degrade(pixels, rng, rng.uniform(0.1, 0.6), geometry=False), blocks)


def composed(rng: random.Random, world: World) -> Page:
    """Of one of the families of the world's split."""
    family = rng.choice(TRAIN if world.split == "train" else HELD_OUT)
    return _Composer(rng, world, family).compose()


@dataclass(frozen=True)
class _Types:
    """Faces and sizes of one page."""

    body: Face
    display: Face
    size: int
    leading: float
    align: Align
    ink: Colour
    accent: Colour


class _Composer:
    def __init__(self, rng: random.Random, world: World, family: Family) -> None:
        self.rng, self.world, self.family = rng, world, family
        ratio = (
            rng.choice((1.414, 1.414, 1.294, 1.5, 1.33, 0.75, 0.707)) if not family.wide else rng.choice((0.5625, 0.75))
        )
        self.width = rng.randint(960, 1240) if ratio > 1 else rng.randint(1200, 1450)
        self.height = round(self.width * ratio)
        white = rng.random() < 0.85
        self.paper = Paper(self.width, self.height, (255, 255, 255) if white else tables.pale(rng))
        body = world.fonts.pick(rng, "body")
        size = round(self.width * rng.uniform(*family.size) / 100)
        dark = rng.randint(0, 60)
        self.types = _Types(
            body, world.fonts.pick(rng, "display") if rng.random() < 0.4 else world.fonts.styled(body, True, False),
            max(11, size), rng.uniform(1.2, 1.5), "justified" if rng.random() < 0.5 else "left", (dark,) * 3,
            (dark,) * 3 if rng.random() < 0.6 else (rng.randint(0, 150), rng.randint(0, 110), rng.randint(0, 170)),
        )  # fmt: skip
        self.left = round(self.width * rng.uniform(0.05, 0.13))
        self.right = self.width - round(self.width * rng.uniform(0.05, 0.13))
        self.top, self.bottom = (
            round(self.height * rng.uniform(0.05, 0.1)),
            round(self.height * rng.uniform(0.88, 0.95)),
        )
        self.blocks: list[Block] = []
        self.gap = round(self.types.size * rng.uniform(0.7, 1.6))

    def compose(self) -> Page:
        rng, family = self.rng, self.family
        if rng.random() < 0.01:
            return Page(self.paper.pixels(), ())
        last = self._margins()
        y = self.top
        if rng.random() < family.title:
            y = self._title(y)
        notes = self._footnotes() if rng.random() < family.footnotes else []
        end = min([block.box[1] for block in notes], default=self.bottom) - self.gap
        while y < end - 6 * self.types.size:
            # a band of columns, and then something over all of them
            band = end if rng.random() > family.across else y + round((end - y) * rng.uniform(0.3, 0.7))
            y = self._columns(y, band) + self.gap
            if band < end:
                y = self._element(rng.choice(("image", "table", "heading")), self.left, self.right, y, end) + self.gap
            if rng.random() < family.short:
                break
        self.blocks += [*notes, *last]
        return Page(self.paper.pixels(), tuple(self.blocks))

    # ---- around the text ---------------------------------------------------------------------------------------------

    def _margins(self) -> list[Block]:
        """Draws what stands above and below the text; the header is read first, the rest last."""
        rng, family, small = self.rng, self.family, max(10, round(self.types.size * 0.85))
        last = []
        if rng.random() < family.header:
            y = max(4, self.top - round(2.2 * small))
            text = rng.choice((self.world.texts.title, self.world.texts.company, self.world.texts.date))(rng)
            header = self._line("header", text, small, self.left, y, rng.choice(("left", "right", "centre")))
            if header is not None:
                self.blocks.append(header)
                if rng.random() < 0.4:
                    below = header.box[3] + 4
                    self.paper.rule(self.left, below, self.right, below, self.types.ink)
                self.top = max(self.top, header.box[3] + self.gap)
        foot = self.bottom + round(0.6 * small)
        if foot + 2 * small < self.height:
            number = rng.random() < family.number
            side: Align = rng.choice(("centre", "right", "left"))
            if rng.random() < family.footer:
                other: Align = "left" if side != "left" else "right"
                text = rng.choice((self.world.texts.company, self.world.texts.title))(rng)
                footer = self._line("footer", text, small, self.left, foot, other, 0.6)
                last += [footer] if footer is not None else []
            if number:
                told = rng.choice(("{}", "{}", "- {} -", "Page {}", "{} / 250", "p. {}")).format(rng.randint(1, 240))
                found = self._line("page_number", told, small, self.left, foot, side, 0.25)
                last += [found] if found is not None and not _touches(found, last) else []
        return last

    def _line(
        self, kind: str, text: str, size: int, x: int, y: int, align: Align, share: float = 1.0
    ) -> Block | None:  # fmt: skip
        """One line within the margins, of at most that share of their width."""
        width = self.right - self.left
        text = shown(self.types.body, text)
        if width_of(self.types.body, size, text) > width * share:
            return None
        drawn = typeset(self.paper, text, self.types.body, size, x, y, width, 1.3, align, self.types.ink)
        return Block(kind, drawn[0].box, text) if drawn else None

    def _title(self, y: int) -> int:
        rng = self.rng
        size = round(self.types.size * rng.uniform(1.7, 2.8))
        align: Align = rng.choice(("centre", "left"))
        text = self.world.texts.title(rng)
        found = self._text("title", text, self.types.display, size, self.left, y, self.right - self.left, 3, align)
        y = found.box[3] + self.gap if found is not None else y
        if rng.random() < 0.4:  # who wrote it
            names = ", ".join(self.world.texts.person(rng) for _ in range(rng.randint(1, 4)))
            by = self._text(
                "text", names, self.types.body, self.types.size, self.left, y, self.right - self.left, 2, align
            )
            y = by.box[3] + self.gap if by is not None else y
        return y + self.gap // 2

    def _footnotes(self) -> list[Block]:
        rng, small = self.rng, max(9, round(self.types.size * 0.8))
        text = shown(self.types.body, f"{rng.randint(1, 9)} {self.world.texts.sentence(rng)}")
        width = self.right - self.left
        lines = wrap(self.types.body, small, text, width)[:3]
        y = self.bottom - round(len(lines) * 1.25 * small)
        drawn = typeset(
            self.paper, text, self.types.body, small, self.left, y, width, 1.25, "left", self.types.ink, 0, 3
        )
        self.paper.rule(self.left, y - 5, self.left + width // 4, y - 5, self.types.ink)
        return [Block("page_footnote", _around(drawn), text)]

    # ---- the text ----------------------------------------------------------------------------------------------------

    def _columns(self, y: int, end: int) -> int:
        """Fill all columns from y to `end`; returns where the lowest ends."""
        rng, family = self.rng, self.family
        widths = family.widths
        space = round(self.width * rng.uniform(0.025, 0.05))
        room = self.right - self.left - space * (len(widths) - 1)
        x, lowest = self.left, y
        for share in widths:
            width = round(room * share / sum(widths))
            lowest = max(lowest, self._column(x, x + width, y, end))
            x += width + space
        return lowest

    def _column(self, x0: int, x1: int, y: int, end: int) -> int:
        rng = self.rng
        kinds, weights = zip(*self.family.elements.items(), strict=True)
        stop = end if rng.random() > self.family.short else y + round((end - y) * rng.uniform(0.2, 1.0))
        before = ""
        lowest = y
        while y < stop - 2 * self.types.size:
            kind = rng.choices(kinds, weights)[0]
            if kind == "heading" and before == "heading":
                continue
            if kind == "heading" and y > stop - 6 * self.types.size:
                break
            below = self._element(kind, x0, x1, y, stop)
            if below == y:  # it did not fit
                if kind in ("text", "list"):
                    break
                kind, below = "text", self._element("text", x0, x1, y, stop)
                if below == y:
                    break
            lowest, before = below, kind
            y = below + round(self.gap * (0.5 if kind == "heading" else rng.choice((0.6, 1.0, 1.0, 1.8))))
        return lowest

    def _element(self, kind: str, x0: int, x1: int, y: int, end: int) -> int:
        """Draw it below y and above `end`; returns where it ends, y where it does not fit."""
        makers: dict[str, Callable[[int, int, int, int], int]] = {
            "text": self._paragraph, "heading": self._heading, "list": self._list, "image": self._image,
            "table": self._table, "equation": self._equation,
        }  # fmt: skip
        return makers[kind](x0, x1, y, end)

    def _paragraph(self, x0: int, x1: int, y: int, end: int) -> int:
        types, rng = self.types, self.rng
        lines = max(1, min(round(rng.expovariate(1 / self.family.lines)) + 1, 30))
        characters = lines * (x1 - x0) / (0.5 * types.size)
        text = self.world.texts.paragraph(rng, round(characters))
        most = min(lines, int((end - y) / (types.leading * types.size)))
        if most < 1:
            return y
        indent = types.size if rng.random() < 0.25 else 0
        found = self._text("text", text, types.body, types.size, x0, y, x1 - x0, most, types.align, indent)
        return found.box[3] if found is not None else y

    def _heading(self, x0: int, x1: int, y: int, end: int) -> int:
        types, rng = self.types, self.rng
        text = self.world.texts.title(rng)
        if rng.random() < 0.35:
            text = f"{rng.randint(1, 9)}{rng.choice(('.', '', f'.{rng.randint(1, 9)}'))} {text}"
        size = round(types.size * rng.uniform(1.05, 1.6))
        if y + 3 * size > end:
            return y
        found = self._text("title", text, types.display, size, x0, y, x1 - x0, 2, "left")
        return found.box[3] if found is not None else y

    def _list(self, x0: int, x1: int, y: int, end: int) -> int:
        types, rng = self.types, self.rng
        mark = rng.choice(("•", "-", "{}.", "({})", "{})", "[{}]"))
        boxes: list[Line] = []
        texts = []
        for index in range(rng.randint(2, 8)):
            item = shown(
                types.body, f"{mark.format(index + 1)} {self.world.texts.paragraph(rng, rng.randint(20, 160))}"
            )  # fmt: skip
            lines = wrap(types.body, types.size, item, x1 - x0 - types.size)
            if y + len(lines) * types.leading * types.size > end:
                break
            boxes += typeset(
                self.paper, item, types.body, types.size, x0 + types.size, y, x1 - x0 - types.size, types.leading,
                "left", types.ink,
            )  # fmt: skip
            texts.append(item)
            y += round((len(lines) * types.leading + rng.choice((0, 0, 0.3))) * types.size)
        if not boxes:
            return y
        self.blocks.append(Block("list", _around(boxes), "\n".join(texts)))
        return self.blocks[-1].box[3]

    def _image(self, x0: int, x1: int, y: int, end: int) -> int:
        rng = self.rng
        width = x1 - x0 if rng.random() < 0.6 else round((x1 - x0) * rng.uniform(0.4, 0.95))
        height = round(width * rng.uniform(0.3, 0.9))
        if y + height + 3 * self.types.size > end or height < 40:
            return y
        pixels = figure(rng, self.world, width, height, self.paper.colour)
        height, width = pixels.shape[:2]
        x = x0 + (x1 - x0 - width) // 2
        self.paper.paste(pixels, x, y)
        self.blocks.append(Block("image", (x, y, x + width, y + height)))
        y += height
        if rng.random() < 0.65:
            return self._caption("image_caption", "Figure", x0, x1, y + self.types.size // 2)
        return y

    def _table(self, x0: int, x1: int, y: int, end: int) -> int:
        rng = self.rng
        above = rng.random() < 0.7
        captioned = rng.random() < 0.6
        style = replace(
            tables.make_style(rng, self.world), size=max(10, round(self.types.size * rng.uniform(0.8, 1.0))),
            pad=(rng.randint(4, 12), rng.randint(1, 6)), paper=self.paper.colour,
        )  # fmt: skip
        for _ in range(4):
            drawn = tables.draw(rng, tables.plan(rng, self.world, style.face), style, margin=0)
            if drawn is not None and drawn.shape[1] <= x1 - x0 and y + drawn.shape[0] + 4 * self.types.size < end:
                break
        else:
            return y
        if captioned and above:
            y = self._caption("table_caption", "Table", x0, x1, y) + self.types.size // 2
        x = x0 + (x1 - x0 - drawn.shape[1]) // 2
        self.paper.paste(drawn, x, y)
        ink = np.nonzero(np.abs(drawn.astype(int) - np.array(self.paper.colour)).max(axis=2) > 24)
        box = (x + ink[1].min(), y + ink[0].min(), x + ink[1].max() + 1, y + ink[0].max() + 1)
        self.blocks.append(Block("table", (int(box[0]), int(box[1]), int(box[2]), int(box[3]))))
        y += drawn.shape[0]
        if captioned and not above:
            return self._caption("table_caption", "Table", x0, x1, y + self.types.size // 2)
        return y

    def _caption(self, kind: str, word: str, x0: int, x1: int, y: int) -> int:
        rng = self.rng
        size = max(10, round(self.types.size * 0.88))
        text = f"{rng.choice((word, word, word[:3] + '.'))} {rng.randint(1, 20)}{rng.choice((':', '.', ''))} "
        text += rng.choice((self.world.texts.title, self.world.texts.sentence))(rng)
        found = self._text(kind, text, self.types.body, size, x0, y, x1 - x0, 3, rng.choice(("left", "centre")))
        return found.box[3] if found is not None else y

    def _equation(self, x0: int, x1: int, y: int, end: int) -> int:
        rng = self.rng
        letters = "abcdefxyzuvnmABCEFPQSTV"
        parts = [
            f"{rng.choice(letters)}{rng.choice(('', '', rng.choice('0123456789'), '(' + rng.choice(letters) + ')'))}"
            for _ in range(rng.randint(3, 6))
        ]
        text = f"{parts[0]} = " + "".join(f"{part} {rng.choice('+-*/')} " for part in parts[1:-1]) + parts[-1]
        face = self.world.fonts.styled(self.types.body, False, True)
        size = round(self.types.size * 1.15)
        if y + 2 * size > end or width_of(face, size, text) > x1 - x0:
            return y
        found = self._text("equation", text, face, size, x0, y, x1 - x0, 1, "centre")
        return found.box[3] if found is not None else y

    def _text(
        self, kind: str, text: str, face: Face, size: int, x: int, y: int, width: int, most: int, align: Align,
        indent: int = 0,
    ) -> Block | None:  # fmt: skip
        colour = self.types.accent if kind == "title" else self.types.ink
        text = shown(face, text)
        drawn = typeset(self.paper, text, face, size, x, y, width, self.types.leading, align, colour, indent, most)
        if not drawn:
            return None
        block = Block(kind, _around(drawn), " ".join(line.text for line in drawn))
        self.blocks.append(block)
        return block


def _around(lines: list[Line]) -> Box:
    left, tops, right, bottoms = zip(*(line.box for line in lines), strict=True)
    return min(left), min(tops), max(right), max(bottoms)


def _touches(block: Block, others: list[Block]) -> bool:
    x0, y0, x1, y1 = block.box
    return any(x0 < b.box[2] and b.box[0] < x1 and y0 < b.box[3] and b.box[1] < y1 for b in others)
