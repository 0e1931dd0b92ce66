"""Whole pages, and what stands where on them.

A list is one block of type `list`, its items are not told apart; a chart is an image, as is a photograph; notes at the
side are text. Nothing is said of paragraphs that go on in the next column: both parts are blocks of text.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from training.render import families
from training.render.blocks import Block, Page
from training.render.client import LAYOUT, sent
from training.render.degrade import degrade, resized, warp
from training.render.pages_boxes import boxes
from training.render.pages_draw import draw
from training.render.pages_flow import flowing
from training.render.pages_letters import invoice, letter, references, side_notes, slide, title_page
from training.render.pages_look import make_look
from training.render.pages_others import catalogue, questions, sidebar
from training.samples import Pixels, Sample
from training.world import Split, World

SIDE = 1036  # pixels, as the client squashes a page
CLEAN = 0.35  # of pages that nothing has happened to
EMPTY = 0.01
OF_CHANCE, BOXES = "of chance", "boxes"
# Each as often as so many layouts with a name, none of which teaches what others are like.
AS_MANY = {OF_CHANCE: 10, BOXES: 20}
Layout = Callable[[random.Random, World], Page]


def _of_chance(rng: random.Random, world: World) -> Page:
    return flowing(families.of_chance(rng), rng, world)


_OWN: Mapping[Split, Mapping[str, Layout]] = {
    "train": {"letter": letter, "invoice": invoice, "slides": slide, "title page": title_page,
              "references": references, "side notes": side_notes, OF_CHANCE: _of_chance,
              BOXES: boxes},
    "held-out": {"sidebar": sidebar, "questions and answers": questions, "catalogue": catalogue},
}  # fmt: skip


def _layouts(split: Split) -> Mapping[str, Layout]:
    flows = families.TRAIN if split == "train" else families.HELD_OUT
    return {family.name: partial(flowing, family) for family in flows} | dict(_OWN[split])


LAYOUTS: Mapping[Split, Mapping[str, Layout]] = {"train": _layouts("train"), "held-out": _layouts("held-out")}


@dataclass(frozen=True)
class Drawn:
    """A picture of a page, with its blocks in pixels, in the order in which they are read."""

    pixels: Pixels
    blocks: tuple[Block, ...]


def page(rng: random.Random, world: World) -> Sample:
    return asked(rng, world, worn(rng, squashed(composed(rng, world), resampling(rng))))


def clean_page(rng: random.Random, world: World) -> Sample:
    return asked(rng, world, squashed(composed(rng, world)))


def asked(rng: random.Random, world: World, found: Drawn) -> Sample:
    return sent(rng, world, "layout", LAYOUT, found.pixels, answer(found))


def plan(rng: random.Random, world: World) -> Page:
    """In one of the layouts of the world's split."""
    if rng.random() < EMPTY:
        look = make_look(rng, world, (1.5, 1.5))
        return Page(look.width, look.height, look.paper, (), ())
    layouts = LAYOUTS[world.split]
    names = [name for name in sorted(layouts) for _ in range(AS_MANY.get(name, 1))]
    return layouts[rng.choice(names)](rng, world)


def composed(rng: random.Random, world: World) -> Drawn:
    """At the size at which it was planned."""
    return Drawn(*draw(plan(rng, world)))


def answer(found: Drawn) -> str:
    """As MinerU says it, in thousandths of the page."""
    height, width = found.pixels.shape[:2]
    lines = []
    for block in found.blocks:
        x0, y0, x1, y1 = block.box
        place = (1000 * x0 / width, 1000 * y0 / height, 1000 * x1 / width, 1000 * y1 / height)
        told = " ".join(str(round(value)) for value in place)
        lines.append(f"<|box_start|>{told}<|box_end|><|ref_start|>{block.kind}<|ref_end|><|rotate_up|>")
    return "\n".join(lines)


def resampling(rng: random.Random) -> Image.Resampling:
    return rng.choice((Image.Resampling.BICUBIC, Image.Resampling.BOX, Image.Resampling.HAMMING))


def squashed(found: Drawn, resampling: Image.Resampling = Image.Resampling.BICUBIC) -> Drawn:
    """To a square, whatever its sides are."""
    height, width = found.pixels.shape[:2]
    pixels = resized(found.pixels, SIDE, SIDE, resampling)
    return Drawn(pixels, scaled(found.blocks, (width, height), (SIDE, SIDE)))


def scaled(blocks: Sequence[Block], before: tuple[int, int], after: tuple[int, int]) -> tuple[Block, ...]:
    """Where they are in a picture of another width and height."""
    across, down = after[0] / before[0], after[1] / before[1]
    return tuple(
        replace(block, box=(round(block.box[0] * across), round(block.box[1] * down),
                            round(block.box[2] * across), round(block.box[3] * down)))
        for block in blocks
    )  # fmt: skip


def worn(rng: random.Random, found: Drawn, turned: float = 0.35) -> Drawn:
    """`turned`: the share that lies askew, of those that are not clean."""
    if rng.random() < CLEAN:
        return found
    pixels, blocks = found.pixels, found.blocks
    if rng.random() < turned:
        pixels, boxes = warp(pixels, [block.box for block in blocks], rng, rng.uniform(0.2, 1.0))
        blocks = tuple(replace(block, box=box) for block, box in zip(blocks, boxes, strict=True))
    return Drawn(degrade(pixels, rng, rng.uniform(0.1, 0.6), geometry=False), blocks)
