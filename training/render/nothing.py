"""Pictures of nothing that could be read."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.render.client import TEXT, sent
from training.render.degrade import degrade
from training.samples import Pixels, Sample
from training.world import World


def nothing(rng: random.Random, world: World) -> Sample:
    """The answer is empty."""
    largest = 5.2 if world.split == "train" else 4.3
    height, width = (round(28 * 2 ** rng.uniform(0.5, largest)) for _ in range(2))
    pixels = rng.choice((_blank, _noise, clouds, shapes, _waves, landscape))(rng, height, width)
    if rng.random() < 0.5:
        pixels = degrade(pixels, rng, rng.uniform(0.2, 1.0))
    return sent(rng, world, "nothing", TEXT, pixels, "")


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def _blank(rng: random.Random, height: int, width: int) -> Pixels:
    return np.full((height, width, 3), _colour(rng) if rng.random() < 0.5 else (255, 255, 255), dtype=np.uint8)


def _noise(rng: random.Random, height: int, width: int) -> Pixels:
    generator = np.random.default_rng(rng.getrandbits(63))
    return generator.integers(0, 256, (height, width, rng.choice((1, 3))), dtype=np.uint8).repeat(3, axis=2)[:, :, :3]


def clouds(rng: random.Random, height: int, width: int) -> Pixels:
    """Noise of all sizes, the coarse the stronger: like skies, walls and skins."""
    generator = np.random.default_rng(rng.getrandbits(63))
    total = np.zeros((height, width, 3), dtype=np.float32)
    for octave in range(1, 6):
        size = 2**octave
        rough = generator.random((size, size, 3), dtype=np.float32) * 255
        picture = Image.fromarray(rough.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        total += (np.asarray(picture, dtype=np.float32) - 128) / size**0.8
    return np.asarray(np.clip(total * rng.uniform(0.8, 2.0) + np.array(_colour(rng)), 0, 255), dtype=np.uint8)


def shapes(rng: random.Random, height: int, width: int) -> Pixels:
    image = Image.new("RGB", (width, height), _colour(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(1, 25)):
        x, y = rng.randrange(width), rng.randrange(height)
        w, h = rng.randint(4, max(5, width // 2)), rng.randint(4, max(5, height // 2))
        box = (x - w // 2, y - h // 2, x + w // 2, y + h // 2)
        shape = rng.randrange(4)
        if shape == 0:
            draw.ellipse(box, _colour(rng))
        elif shape == 1:
            draw.rectangle(box, _colour(rng))
        elif shape == 2:
            points = [(x + rng.randint(-w, w), y + rng.randint(-h, h)) for _ in range(rng.randint(3, 6))]
            draw.polygon(points, _colour(rng))
        else:
            draw.line((x, y, x + w, y + rng.randint(-h, h)), _colour(rng), rng.randint(1, 12))
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 12)))
    return np.asarray(image)


def _waves(rng: random.Random, height: int, width: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    total = np.zeros((height, width), dtype=np.float32)
    for _ in range(rng.randint(1, 5)):
        angle, length = rng.uniform(0, math.pi), rng.uniform(4, 120)
        total += np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / length + rng.uniform(0, 6))
    total = (total - total.min()) / max(1e-6, float(total.max() - total.min()))
    low, high = np.array(_colour(rng)), np.array(_colour(rng))
    return np.asarray(low + (high - low) * total[:, :, None], dtype=np.uint8)


def landscape(rng: random.Random, height: int, width: int) -> Pixels:
    """A sky, some ridges in front of it, and something round."""
    sky = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    pixels = (np.array(_colour(rng)) * (1 - sky) + np.array(_colour(rng)) * sky).repeat(width, axis=1)
    image = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    radius = rng.randint(3, max(4, min(height, width) // 4))
    x, y = rng.randrange(width), rng.randrange(height)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), _colour(rng))
    for ridge in range(rng.randint(1, 4)):
        level = height * (0.4 + 0.15 * ridge)
        points = [(width * step // 12, round(level + rng.gauss(0, height / 14))) for step in range(13)]
        draw.polygon([(0, height), *points, (width, height)], _colour(rng))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 3))))
