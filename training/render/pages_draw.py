"""Planned pages, drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from training.render.blocks import Block, Mark, Page, Shape, Words
from training.render.pages_words import write
from training.render.typeset import Colour
from training.samples import Pixels


def draw(page: Page) -> tuple[Pixels, tuple[Block, ...]]:
    """At the size at which it was planned, with its blocks in pixels."""
    return drawn(page.width, page.height, page.colour, page.marks), page.blocks


def drawn(width: int, height: int, colour: Colour, marks: Sequence[Mark]) -> Pixels:
    image = Image.new("RGB", (width, height), colour)
    pen = ImageDraw.Draw(image)
    for mark in marks:
        if isinstance(mark, Words):
            write(pen, mark)
        elif isinstance(mark, Shape):
            _shape(pen, mark)
        else:
            image.paste(Image.fromarray(mark.pixels), (mark.x, mark.y))
    return np.asarray(image)


def _shape(pen: ImageDraw.ImageDraw, shape: Shape) -> None:
    x0, y0, x1, y1 = shape.box
    inner = (x0, y0, x1 - 1, y1 - 1)  # Pillow draws the last pixel too
    thick = shape.thick if shape.edge is not None else 0
    if shape.corner:
        pen.rounded_rectangle(inner, shape.corner, shape.fill, shape.edge, thick)
    else:
        pen.rectangle(inner, shape.fill, shape.edge, thick)
