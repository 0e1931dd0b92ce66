"""Things on a page that are no text: photographs, charts, diagrams, maps, logos."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.render.nothing import clouds, landscape, shapes
from training.render.typeset import Colour
from training.samples import Pixels
from training.world import World

_Draw = Callable[[random.Random, World, Image.Image], None]
LEAST = 24  # pixels a side, below which nothing can be told


def figure(rng: random.Random, world: World, width: int, height: int, paper: Colour = (255, 255, 255)) -> Pixels:
    """Of at most that size: what has no frame and stands on bare paper ends where its ink ends."""
    width, height = max(LEAST, width), max(LEAST, height)
    if rng.random() < 0.45:
        pixels = _photograph(rng, width, height)
        return _framed(rng, pixels) if rng.random() < 0.2 else pixels
    framed = rng.random() < 0.35
    ground = paper if not framed or rng.random() < 0.6 else _colour(rng, 225, 255)
    image = Image.new("RGB", (width, height), ground)
    rng.choices(_DRAWN, _WEIGHTS)[0](rng, world, image)
    pixels = np.asarray(image)
    return _framed(rng, pixels) if framed else _trimmed(pixels, ground)


def _framed(rng: random.Random, pixels: Pixels) -> Pixels:
    pixels = pixels.copy()
    wide, dark = rng.choice((1, 1, 2, 4)), rng.randint(0, 120)
    pixels[:wide] = pixels[-wide:] = pixels[:, :wide] = pixels[:, -wide:] = dark
    return pixels


def _trimmed(pixels: Pixels, ground: Colour) -> Pixels:
    ink = (pixels != np.array(ground, dtype=np.uint8)).any(axis=2)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if rows.size == 0:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _photograph(rng: random.Random, width: int, height: int) -> Pixels:
    pixels = rng.choice((clouds, landscape, shapes))(rng, height, width)
    if rng.random() < 0.35:
        pixels = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
    return pixels


def _colour(rng: random.Random, least: int = 30, most: int = 220) -> Colour:
    return rng.randint(least, most), rng.randint(least, most), rng.randint(least, most)


def _font(rng: random.Random, world: World, image: Image.Image) -> ImageFont.FreeTypeFont:
    return world.fonts.pick(rng, "body").at(max(8, min(15, min(image.size) // 16)))


def _chart(rng: random.Random, world: World, image: Image.Image) -> None:
    """Bars, lines or points over two axes, with numbers and names beside them."""
    draw, font = ImageDraw.Draw(image), _font(rng, world, image)
    width, height = image.size
    left, right, top, bottom = width // 8, width - width // 20, height // 10, height - height // 7
    ink = (rng.randint(0, 90),) * 3
    draw.line((left, top, left, bottom, right, bottom), ink)
    lines, step = rng.random() < 0.7, rng.choice((1, 5, 10, 20, 25, 500))
    for index in range(5):
        y = bottom - (bottom - top) * index // 4
        draw.line((left - 3, y, right if lines else left, y), (190, 190, 190))
        draw.text((left - 4, y), str(index * step), ink, font, anchor="rm")
    count = rng.randint(3, 9)
    pitch = (right - left) / count
    same = _colour(rng) if rng.random() < 0.6 else None
    bars = rng.random() < 0.5
    for index in range(count):
        start = left + pitch * (index + 0.2)
        if bars:
            high = rng.uniform(0.1, 1.0) * (bottom - top)
            draw.rectangle((start, bottom - high, start + pitch * 0.6, bottom), same or _colour(rng))
        draw.text((start + pitch * 0.3, bottom + 3), world.texts.word(rng)[:4], ink, font, anchor="ma")
    if not bars:
        for _ in range(rng.randint(1, 4)):
            colour = _colour(rng)
            points = [(left + pitch * i, bottom - rng.random() * (bottom - top)) for i in range(count + 1)]
            draw.line(points, colour, rng.choice((1, 2, 3)))
            for across, down in points if rng.random() < 0.4 else ():
                draw.ellipse((across - 3, down - 3, across + 3, down + 3), colour)
    if rng.random() < 0.3:
        draw.text(((left + right) / 2, 1), " ".join(world.texts.title(rng).split()[:3]), ink, font, anchor="ma")


def _pie(rng: random.Random, world: World, image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    radius = min(width, height) // 2 - 4
    box = (width // 2 - radius, height // 2 - radius, width // 2 + radius, height // 2 + radius)
    angle = rng.uniform(0, 360)
    shares = [rng.random() + 0.1 for _ in range(rng.randint(2, 6))]
    for share in shares:
        draw.pieslice(box, angle, angle + 360 * share / sum(shares), _colour(rng), (250, 250, 250))
        angle += 360 * share / sum(shares)
    if rng.random() < 0.3:
        hole = radius * 0.5
        draw.ellipse((width / 2 - hole, height / 2 - hole, width / 2 + hole, height / 2 + hole), (250, 250, 250))


def _diagram(rng: random.Random, world: World, image: Image.Image) -> None:
    """Boxes with words, and arrows between them."""
    draw, font = ImageDraw.Draw(image), _font(rng, world, image)
    width, height = image.size
    columns, rows = rng.randint(2, 4), rng.randint(1, 3)
    centres = [
        (width * (2 * column + 1) / (2 * columns), height * (2 * row + 1) / (2 * rows))
        for row in range(rows)
        for column in range(columns)
    ]
    for one, other in pairwise(centres):
        draw.line((*one, *other), (70, 70, 70), 2)
        angle = math.atan2(other[1] - one[1], other[0] - one[0])
        middle = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2)
        ends = [
            (middle[0] - 8 * math.cos(angle + turn), middle[1] - 8 * math.sin(angle + turn)) for turn in (0.5, -0.5)
        ]
        draw.polygon([middle, *ends], (70, 70, 70))
    across, down = width / columns * 0.36, height / rows * 0.28
    corner = min(rng.choice((0, 6, 14)), across - 2, down - 2)  # Pillow refuses corners that are wider than their box
    for x, y in centres:
        box = (x - across, y - down, x + across, y + down)
        fill = _colour(rng, 205, 250)
        draw.rounded_rectangle(box, max(0.0, corner), fill, (60, 60, 60))
        word = world.texts.word(rng)[:10]
        if font.getlength(word) < 2 * across:
            draw.text((x, y), word, (30, 30, 30), font, anchor="mm")


def _map(rng: random.Random, world: World, image: Image.Image) -> None:
    """Fields of pale colours, roads between them, and some names."""
    draw, font = ImageDraw.Draw(image), _font(rng, world, image)
    width, height = image.size
    draw.rectangle((0, 0, width - 1, height - 1), _colour(rng, 190, 235))
    for _ in range(rng.randint(4, 12)):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.1, 0.4) * max(width, height)
        turns = sorted(rng.uniform(0, 2 * math.pi) for _ in range(rng.randint(4, 9)))
        far = [size * rng.uniform(0.5, 1) for _ in turns]
        points = [(x + r * math.cos(a), y + r * math.sin(a)) for a, r in zip(turns, far, strict=True)]
        draw.polygon(points, _colour(rng, 150, 240), (140, 140, 140))
    for _ in range(rng.randint(2, 5)):
        points = [(width * i / 6, height * rng.random()) for i in range(7)]
        draw.line(points, _colour(rng, 90, 250), rng.randint(1, 6))
    for _ in range(rng.randint(0, 6)):
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), (40, 40, 40))
        draw.text((x, y + 3), world.texts.word(rng)[:9].capitalize(), (40, 40, 40), font, anchor="ma")


def _logo(rng: random.Random, world: World, image: Image.Image) -> None:
    """A sign of one or two shapes, and perhaps letters on it."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    side = min(width, height) - 2
    x, y = (width - side) // 2, (height - side) // 2
    box = (x, y, x + side, y + side)
    first, second = _colour(rng), _colour(rng, 200, 255)
    form = rng.randrange(3)
    if form == 0:
        draw.ellipse(box, first)
    elif form == 1:
        draw.rounded_rectangle(box, side // 6, first)
    else:
        draw.regular_polygon((width / 2, height / 2, side / 2), rng.choice((3, 5, 6, 8)), fill=first)
    letters = "".join(word[0] for word in world.texts.title(rng).split()[: rng.randint(1, 2)]).upper()
    if rng.random() < 0.6:
        font = world.fonts.pick(rng, "display").at(max(8, side // 3))
        draw.text((width / 2, height / 2), letters, second, font, anchor="mm")
    else:
        inner = side // 4
        draw.ellipse((x + inner, y + inner, x + side - inner, y + side - inner), second)


_DRAWN: tuple[_Draw, ...] = (_chart, _diagram, _pie, _map, _logo)
_WEIGHTS = (45, 25, 10, 14, 6)
