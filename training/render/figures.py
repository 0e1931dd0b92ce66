"""Things on a page that are no text: photographs, charts, diagrams."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from training.render.nothing import clouds, landscape, shapes
from training.samples import Pixels
from training.world import World

Colour = tuple[int, int, int]


def figure(rng: random.Random, world: World, width: int, height: int) -> Pixels:
    """Of exactly that size."""
    kind = rng.choices((_photograph, _chart, _diagram, _pie), (45, 30, 18, 7))[0]
    pixels = kind(rng, world, width, height)
    if rng.random() < 0.3:
        pixels = pixels.copy()
        pixels[[0, -1]] = pixels[:, [0, -1]] = 40
    return pixels


def _photograph(rng: random.Random, world: World, width: int, height: int) -> Pixels:
    pixels = rng.choice((clouds, landscape, shapes))(rng, height, width)
    if rng.random() < 0.35:
        pixels = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
    return pixels


def _colour(rng: random.Random) -> Colour:
    return rng.randrange(30, 220), rng.randrange(30, 220), rng.randrange(30, 220)


def _chart(rng: random.Random, world: World, width: int, height: int) -> Pixels:
    """Bars or lines over two axes, with numbers and names beside them."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    font = world.fonts.pick(rng, "body").at(max(8, min(14, height // 18)))
    left, right, top, bottom = width // 8, width - width // 20, height // 10, height - height // 7
    draw.line((left, top, left, bottom, right, bottom), (40, 40, 40))
    for step in range(5):
        y = bottom - (bottom - top) * step // 4
        draw.line((left - 3, y, right if rng.random() < 0.7 else left, y), (190, 190, 190))
        draw.text((left - 4, y), str(step * rng.choice((5, 10, 20, 25))), (60, 60, 60), font, anchor="rm")
    count = rng.randint(3, 9)
    if rng.random() < 0.5:
        wide = (right - left) / count
        for index in range(count):
            high = rng.uniform(0.1, 1.0) * (bottom - top)
            x = left + wide * (index + 0.2)
            draw.rectangle((x, bottom - high, x + wide * 0.6, bottom), _colour(rng))
            draw.text((x + wide * 0.3, bottom + 3), world.texts.word(rng)[:4], (60, 60, 60), font, anchor="ma")
    else:
        for _ in range(rng.randint(1, 4)):
            points = [
                (left + (right - left) * i / count, bottom - rng.random() * (bottom - top)) for i in range(count + 1)
            ]
            draw.line(points, _colour(rng), 2)
    return np.asarray(image)


def _pie(rng: random.Random, world: World, width: int, height: int) -> Pixels:
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    radius = min(width, height) // 2 - 4
    box = (width // 2 - radius, height // 2 - radius, width // 2 + radius, height // 2 + radius)
    angle = rng.uniform(0, 360)
    shares = [rng.random() + 0.1 for _ in range(rng.randint(2, 6))]
    for share in shares:
        draw.pieslice(box, angle, angle + 360 * share / sum(shares), _colour(rng), (255, 255, 255))
        angle += 360 * share / sum(shares)
    return np.asarray(image)


def _diagram(rng: random.Random, world: World, width: int, height: int) -> Pixels:
    """Boxes with words, and arrows between them."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    font = world.fonts.pick(rng, "body").at(max(8, min(14, height // 16)))
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
    for x, y in centres:
        half = (width / columns * 0.36, height / rows * 0.28)
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        draw.rounded_rectangle(box, rng.choice((0, 6, 14)), tuple(200 + c // 4 for c in _colour(rng)), (60, 60, 60))
        draw.text((x, y), world.texts.word(rng)[:10], (30, 30, 30), font, anchor="mm")
    return np.asarray(image)
