"""Tables as a client cuts them out of a page, and what they hold as OTSL."""

from __future__ import annotations

import random

from training.render.blocks import moved
from training.render.client import TABLE, sent, to_cells
from training.render.degrade import degrade, warp
from training.render.fields import CELL
from training.render.lines import CLEAN
from training.render.otsl import render
from training.render.pages_draw import drawn
from training.render.tables_layout import lay, make_style
from training.render.tables_plan import plan
from training.render.typeset import Box
from training.samples import Pixels, Sample
from training.world import World

MOST_TOKENS = 1400
_NARROWEST, _WIDEST = 200, 1372  # pixels


def table(rng: random.Random, world: World) -> Sample:
    while True:
        style = make_style(rng, world)
        planned = plan(rng, world, style.face)
        laid = lay(rng, planned, style, _WIDEST)
        if laid is None or laid.width < _NARROWEST:
            continue
        x0, y0, x1, y1 = laid.box
        left, above, right, below = (rng.randint(0, 14) for _ in range(4))
        width, height = x1 - x0 + left + right, y1 - y0 + above + below
        if -(-width // CELL) * -(-height // CELL) <= MOST_TOKENS:
            break
    box = (left, above, width - right, height - below)
    width, height = to_cells(rng, world, width, height)
    pixels = drawn(width, height, style.paper, [moved(mark, left - x0, above - y0) for mark in laid.marks])
    if rng.random() > CLEAN:
        strength = rng.uniform(0.1, 0.7)
        if rng.random() < 0.5 * strength:
            pixels = _turned(rng, pixels, box, strength)
        pixels = degrade(pixels, rng, strength, geometry=False)
    return sent(rng, world, "table", TABLE, pixels, render(planned.table))


def _turned(rng: random.Random, pixels: Pixels, box: Box, strength: float) -> Pixels:
    """Seen at an angle, unless that would push some of the table out of the picture."""
    height, width = pixels.shape[:2]
    seen, ((x0, y0, x1, y1),) = warp(pixels, [box], rng, strength)
    return seen if min(x0, y0) > 0 and x1 < width and y1 < height else pixels
