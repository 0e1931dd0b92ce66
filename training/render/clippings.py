"""Parts of pages with the few blocks that stand there, in small pictures, and pages in less detail: where things are is
learnt from little before it is learnt from whole pages. A page costs much to compose, so each is used many times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from training.render.blocks import Block, apart, around
from training.render.degrade import colourless, paper_of
from training.render.fields import CELL
from training.render.pages import SIDE, Drawn, asked, composed, resampling, scaled, worn
from training.render.typeset import Box, Colour
from training.samples import Sample
from training.world import World

SIDES = {168: 20, 224: 20, 280: 16, 336: 12, 420: 10, 504: 8, 616: 6, 700: 4}  # pixels, and how often
SMALLER = (448, 560, 672, 784)  # pixels of a whole page's side
FINEST, COARSER, COARSEST = 0.9, 2.6, 3.0  # pixels of a page to one of a clipping
FLATTEST = 1.8  # times longer than the other edge
MOST = 10  # blocks in a clipping that could be without some of them
SQUARE = 0.75  # of clippings; the others nearly are
TURNED = 0.1  # of clippings and of pages in less detail
PARTS = (5, 9)  # clippings of a page, from and to
OUTER = frozenset({"header", "footer", "page_number", "page_footnote"})  # by themselves they could be anything


class Source:
    """A page that was composed, to be used many times; in one channel where it has no colour."""

    def __init__(self, whole: Drawn) -> None:
        grey = colourless(whole.pixels)
        self.picture = Image.fromarray(np.ascontiguousarray(whole.pixels[:, :, 0]) if grey else whole.pixels)
        self.paper: Colour = paper_of(whole.pixels)
        self.blocks = whole.blocks

    def page(self, rng: random.Random, side: int) -> Drawn:
        """All of it, squashed to a square."""
        return _drawn(self.picture.resize((side, side), resampling(rng)), self.blocks, self.picture.size)

    def clipping(self, rng: random.Random) -> Drawn:
        """A part that cuts through none of the blocks. Where others stand too near for its margins, there is paper
        instead.
        """
        frame, shown, size = framed(rng, self.blocks)
        left, above = frame[:2]
        x0, y0 = max(0, shown[0]), max(0, shown[1])
        x1, y1 = min(self.picture.width, shown[2]), min(self.picture.height, shown[3])
        paper = self.paper if self.picture.mode == "RGB" else self.paper[0]
        cut = Image.new(self.picture.mode, (frame[2] - left, frame[3] - above), paper)
        cut.paste(self.picture.crop((x0, y0, x1, y1)), (x0 - left, y0 - above))
        inside = [
            replace(block, box=(block.box[0] - left, block.box[1] - above, block.box[2] - left, block.box[3] - above))
            for block in self.blocks
            if not apart(block.box, shown)
        ]
        return _drawn(cut.resize(size, resampling(rng)), inside, cut.size)


def parts(rng: random.Random, world: World) -> Iterator[Sample]:
    """Clippings of one page, and that page in less detail."""
    yield from _parts(rng, world, Source(composed(rng, world)))


def parts_and_page(rng: random.Random, world: World) -> Iterator[Sample]:
    """The same, and the page as a client sends it."""
    source = Source(composed(rng, world))
    yield from _parts(rng, world, source)
    yield asked(rng, world, worn(rng, source.page(rng, SIDE)))


def _parts(rng: random.Random, world: World, source: Source) -> Iterator[Sample]:
    for _ in range(rng.randint(*PARTS)):
        yield asked(rng, world, worn(rng, source.clipping(rng), TURNED))
    yield asked(rng, world, worn(rng, source.page(rng, rng.choice(SMALLER)), TURNED))


def _drawn(picture: Image.Image, blocks: Sequence[Block], before: tuple[int, int]) -> Drawn:
    """With blocks that were in a picture of another size before."""
    return Drawn(np.asarray(picture.convert("RGB")), scaled(blocks, before, picture.size))


# ---- where to cut ----------------------------------------------------------------------------------------------------


def framed(rng: random.Random, blocks: Sequence[Block]) -> tuple[Box, Box, tuple[int, int]]:
    """A part of a page, what of it may be shown, and the size of its picture."""
    side = rng.choices(tuple(SIDES), tuple(SIDES.values()))[0]
    wide, high = (round(side * rng.uniform(FINEST, COARSER)) for _ in range(2))
    boxes = [block.box for block in blocks]
    inner = [block.box for block in blocks if block.kind not in OUTER] or boxes
    own = window(rng, rng.choice(inner), boxes, wide, high) if boxes else (0, 0, wide // 2, high // 2)
    least_wide, least_high = round(1.03 * (own[2] - own[0])) + 4, round(1.03 * (own[3] - own[1])) + 4
    wide, high = rng.randint(least_wide, max(wide, least_wide)), rng.randint(least_high, max(high, least_high))
    wide, high = max(wide, round(high / FLATTEST)), max(high, round(wide / FLATTEST))
    left, above = own[0] - rng.randint(0, wide - own[2] + own[0]), own[1] - rng.randint(0, high - own[3] + own[1])
    frame = (left, above, left + wide, above + high)
    shown = widened(rng, own, frame, [box for box in boxes if apart(box, own)])
    least = max(side, wide / COARSEST, high / COARSEST)
    side = next((size for size in SIDES if size >= least), max(SIDES))
    other = side if rng.random() < SQUARE else side + CELL * rng.choice((-2, -1, 1, 2))
    return frame, shown, (side, other) if rng.random() < 0.5 else (other, side)


def window(rng: random.Random, first: Box, boxes: Sequence[Box], wide: int, high: int) -> Box:
    """Around one of the boxes and as many of those that are near as there is room for, which cuts through none."""
    found, most = closed(first, boxes), rng.randint(1, MOST)
    for box in sorted(boxes, key=lambda box: _far(first, box))[1 : 2 * MOST]:
        larger = closed(around((found, box)), boxes)
        fits = larger[2] - larger[0] <= wide and larger[3] - larger[1] <= high
        if fits and sum(not apart(larger, other) for other in boxes) <= most:
            found = larger
    return found


def _far(one: Box, other: Box) -> int:
    return max(other[0] - one[2], one[0] - other[2], 0) + max(other[1] - one[3], one[1] - other[3], 0)


def closed(box: Box, boxes: Sequence[Box]) -> Box:
    """The smallest box around it that cuts through none of the others."""
    while True:
        larger = around([box, *(other for other in boxes if not apart(box, other))])
        if larger == box:
            return box
        box = larger


def widened(rng: random.Random, box: Box, wanted: Box, others: Sequence[Box]) -> Box:
    """As far towards a larger one as it touches none of the others, one edge after the other."""
    for edge in rng.sample(range(4), 4):
        edges = list(box)
        edges[edge] = wanted[edge]
        for other in others:
            if not apart((edges[0], edges[1], edges[2], edges[3]), other):
                edges[edge] = other[(edge + 2) % 4]
        box = (edges[0], edges[1], edges[2], edges[3])
    return box
