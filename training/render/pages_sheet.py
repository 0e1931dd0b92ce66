"""A page while it is planned: each call puts a block below another and says where it ends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from training.render.blocks import Block, Mark, Page, Picture, Shape, around, moved
from training.render.figures import LEAST, figure
from training.render.otsl import render
from training.render.pages_look import Look
from training.render.pages_words import Align, Measured, extent, ink, lines_of, placed
from training.render.tables_layout import Laid, lay, make_style
from training.render.tables_plan import Planned, plan
from training.render.typeset import Box, Colour, shown
from training.world import Face, World


class Sheet:
    """`y` is where a block is to begin and `end` where it must have ended. What does not fit is not put there."""

    def __init__(self, rng: random.Random, world: World, look: Look) -> None:
        self.rng, self.world, self.look = rng, world, look
        self.marks: list[Mark] = []
        self.blocks: list[Block] = []

    def page(self) -> Page:
        look = self.look
        return Page(look.width, look.height, look.paper, tuple(self.marks), tuple(self.blocks))

    # ---- text --------------------------------------------------------------------------------------------------------

    def text(
        self, kind: str, text: str, x0: int, x1: int, y: int, *, face: Face | None = None, size: int | None = None,
        align: Align = "left", colour: Colour | None = None, most: int | None = None, leading: float | None = None,
        indent: int = 0,
    ) -> int:  # fmt: skip
        """In at most so many lines; the rest of the text is left out. Returns where the ink ends."""
        size = size or self.look.size
        face = face or self.look.body
        lines = lines_of(face, size, shown(face, text), x1 - x0, indent)[:most]
        return self.lines(kind, lines, x0, x1, y, face, size, align, colour, leading, indent)

    def lines(
        self, kind: str, lines: Sequence[Measured], x0: int, x1: int, y: int, face: Face, size: int, align: Align,
        colour: Colour | None = None, leading: float | None = None, indent: int = 0, ends: bool = True,
    ) -> int:  # fmt: skip
        """Those that end above the margin, or above the page's end if they begin in it.

        `ends`: the last line is the paragraph's last one.
        """
        pitch = size * (leading or self.look.leading)
        low = self.look.bottom if y < self.look.bottom else self.look.height
        lines = lines[: max(0, 1 + int((low - y - 1.15 * size) // pitch))]
        if not lines:
            return y
        colour = colour or (self.look.accent if kind == "title" else self.look.ink)
        drawn = []
        for index, line in enumerate(lines):
            shift = indent if index == 0 else 0
            way: Align = "left" if align == "justified" and ends and index == len(lines) - 1 else align
            drawn.append(
                placed(line, face, size, colour, x0 + shift, y + round(index * pitch), x1 - x0 - shift, way)
            )  # fmt: skip
        self.marks += drawn
        box = around([ink(line) for line in drawn])
        self.blocks.append(Block(kind, box, " ".join(" ".join(line.words) for line in lines)))
        return box[3]

    def several(
        self, kind: str, lines: Sequence[str], x0: int, x1: int, y: int, *, face: Face | None = None,
        size: int | None = None, align: Align = "left", leading: float | None = None, colour: Colour | None = None,
    ) -> int:  # fmt: skip
        """One block of lines that are broken where they are, such as an address; those that are too long are cut."""
        face, size = face or self.look.body, size or self.look.size
        measured = [found[0] for line in lines if (found := lines_of(face, size, shown(face, line), x1 - x0))]
        return self.lines(kind, measured, x0, x1, y, face, size, align, colour, leading)

    def listed(self, items: Sequence[tuple[str, str]], x0: int, x1: int, y: int, end: int, apart: float = 0.0) -> int:
        """Marks and texts, which hang beside their marks, as one block; as many as fit."""
        look = self.look
        hang = max(
            round(max(extent(look.body, look.size, shown(look.body, mark)) for mark, _ in items)), look.size // 2
        )
        hang += round(0.4 * look.size)
        marks: list[Mark] = []
        boxes: list[Box] = []
        said = []
        for mark, text in items:
            mark, text = shown(look.body, mark), shown(look.body, text)
            found = lines_of(look.body, look.size, text, x1 - x0 - hang)
            if not found or y + len(found) * look.pitch > end:
                break
            before = lines_of(look.body, look.size, mark, hang)
            rows = [placed(line, look.body, look.size, look.ink, x0, y, hang, "left") for line in before]
            for index, line in enumerate(found):
                at = y + round(index * look.pitch)
                rows.append(placed(line, look.body, look.size, look.ink, x0 + hang, at, x1 - x0 - hang, "left"))
            marks += rows
            boxes += [ink(row) for row in rows]
            said.append(f"{mark} {text}".strip())
            y += round(len(found) * look.pitch + apart * look.size)
        if not boxes:
            return y
        self.marks += marks
        self.blocks.append(Block("list", around(boxes), "\n".join(said)))
        return self.blocks[-1].box[3]

    # ---- other things ------------------------------------------------------------------------------------------------

    def image(self, x0: int, x1: int, y: int, height: int) -> int:
        """In the middle between x0 and x1."""
        if height < LEAST or x1 - x0 < LEAST or y + height > self.look.bottom:
            return y
        pixels = figure(self.rng, self.world, x1 - x0, height, self.look.paper)
        high, wide = int(pixels.shape[0]), int(pixels.shape[1])
        x = x0 + (x1 - x0 - wide) // 2
        self.marks.append(Picture(x, y, pixels))
        self.blocks.append(Block("image", (x, y, x + wide, y + high)))
        return y + high

    def tabled(self, width: int, most_columns: int = 8) -> tuple[Planned, Laid] | None:
        """A table that is no wider, of this page's type."""
        rng, look = self.rng, self.look
        style = replace(
            make_style(rng, self.world), size=look.small(rng.uniform(0.75, 1.0)), paper=look.paper,
            pad=(rng.randint(4, 12), rng.randint(1, 6)),
        )  # fmt: skip
        for _ in range(4):
            planned = plan(rng, self.world, style.face, most_columns)
            laid = lay(rng, planned, style, width)
            if laid is not None:
                return planned, laid
            most_columns = max(2, min(most_columns, planned.table.columns) - 1)
        return None

    def table(self, found: tuple[Planned, Laid], x: int, y: int) -> int:
        planned, laid = found
        x0, y0, x1, y1 = laid.box
        self.marks += [moved(mark, x - x0, y - y0) for mark in laid.marks]
        self.blocks.append(Block("table", (x, y, x + x1 - x0, y + y1 - y0), render(planned.table)))
        return y + y1 - y0

    def rule(self, x0: int, x1: int, y: int, thick: int = 1, colour: Colour | None = None) -> None:
        self.marks.append(Shape((x0, y, x1, y + thick), colour or self.look.ink))

    def behind(self, first: int, shape: Shape) -> None:
        """Drawn before all marks from the `first` on."""
        self.marks.insert(first, shape)
