"""What scanners, cameras, printers and copies do to a page."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.samples import Pixels

Box = tuple[int, int, int, int]
Wide = NDArray[np.float32]  # [height, width, 3], 0 to 255


def degrade(pixels: Pixels, rng: random.Random, strength: float, geometry: bool = True) -> Pixels:
    """`strength` 0 leaves all as it is, 1 is a bad photograph of a bad copy. Without `geometry` nothing moves."""
    if strength <= 0:
        return pixels
    if geometry and rng.random() < 0.5 * strength:
        pixels = warp(pixels, (), rng, strength)[0]
    for chance, change in _CHANGES:
        if rng.random() < chance * strength:
            pixels = change(pixels, rng, strength)
    return pixels


def warp(
    pixels: Pixels, boxes: Sequence[Box], rng: random.Random, strength: float = 1.0
) -> tuple[Pixels, tuple[Box, ...]]:
    """Turned a little, and seen from a side; boxes follow, as the upright ones around what they held."""
    height, width = pixels.shape[:2]
    angle = math.radians(rng.gauss(0, 0.6) * strength)
    if rng.random() < 0.05:
        angle *= 2.5
    # the ends of a long line may rise and fall by an eighth of its crop's height, or they would leave it
    most = math.atan2(height / 4, width)
    angle = max(-most, min(most, angle))
    lean = rng.gauss(0, 0.012) * strength
    far = (rng.gauss(0, 0.02) * strength / max(width, height), rng.gauss(0, 0.02) * strength / max(width, height))
    cosine, sine = math.cos(angle), math.sin(angle)
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    turn = np.array([[cosine, -sine + lean, 0], [sine, cosine, 0], [far[0], far[1], 1]])
    there = np.linalg.inv(centre) @ turn @ centre
    back = np.linalg.inv(there)
    back = back / back[2, 2]
    picture = Image.fromarray(pixels).transform(
        (width, height), Image.Transform.PERSPECTIVE, tuple(back.flatten()[:8]), Image.Resampling.BICUBIC,
        fillcolor=paper_of(pixels),
    )  # fmt: skip
    return np.asarray(picture), tuple(_moved(box, there, width, height) for box in boxes)


def _moved(box: Box, there: NDArray[np.float64], width: int, height: int) -> Box:
    x0, y0, x1, y1 = box
    corners = np.array([[x0, x1, x1, x0], [y0, y0, y1, y1], [1, 1, 1, 1]], dtype=np.float64)
    moved = there @ corners
    xs, ys = moved[0] / moved[2], moved[1] / moved[2]
    return (
        max(0, math.floor(xs.min())), max(0, math.floor(ys.min())),
        min(width, math.ceil(xs.max())), min(height, math.ceil(ys.max())),
    )  # fmt: skip


def paper_of(pixels: Pixels) -> tuple[int, int, int]:
    """The colour around the edge."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(edge, axis=0))
    return red, green, blue


def _noise(rng: random.Random, shape: tuple[int, ...]) -> Wide:
    return np.random.default_rng(rng.getrandbits(63)).standard_normal(shape, dtype=np.float32)


def _rounded(values: NDArray[Any]) -> Pixels:
    rounded: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return rounded


def _ink(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Strokes that have run, or have not been printed whole."""
    picture = Image.fromarray(pixels)
    spread = picture.filter(ImageFilter.MinFilter(3) if rng.random() < 0.6 else ImageFilter.MaxFilter(3))
    return np.asarray(Image.blend(picture, spread, rng.uniform(0.1, 0.5) * min(1.0, strength)))


def _coarse(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Scanned at fewer dots to an inch."""
    height, width = pixels.shape[:2]
    factor = rng.uniform(1.0, 1.0 + 0.7 * strength)
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    down = rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX))
    up = rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC))
    return np.asarray(Image.fromarray(pixels).resize(small, down).resize((width, height), up))


def _blur(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    picture = Image.fromarray(pixels)
    if rng.random() < 0.25:  # a hand that moved
        size, along = rng.choice((3, 5)), rng.random() < 0.5
        middle = size // 2
        kernel = [float((row if along else column) == middle) for row in range(size) for column in range(size)]
        return np.asarray(picture.filter(ImageFilter.Kernel((size, size), kernel)))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.4 + 0.7 * strength))))


def _light(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Brighter on one side, or with the shadow of a hand."""
    height, width = pixels.shape[:2]
    direction = rng.uniform(0, 2 * math.pi)
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * math.cos(direction)
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * math.sin(direction)
    slope = across[None, :] + down[:, None]
    deep = rng.uniform(0.05, 0.3) * strength
    if rng.random() < 0.3:
        slope = np.tanh((slope - rng.uniform(-0.3, 0.3)) * rng.uniform(4, 20)) / 2
    return _rounded(pixels * (1 - deep * (0.5 + slope))[:, :, None])


def _tone(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Contrast, brightness and gamma."""
    values = np.arange(256, dtype=np.float32) / 255
    values = values ** rng.uniform(1 / (1 + 0.7 * strength), 1 + 0.7 * strength)
    low = rng.uniform(0, 0.35 * strength)
    high = rng.uniform(max(low + 0.45, 1 - 0.25 * strength), 1.0)
    return (np.clip(low + (high - low) * values, 0, 1) * 255).astype(np.uint8)[pixels]


def _tint(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Paper that was never white."""
    shade = np.array([1 - rng.uniform(0, 0.18) * strength for _ in range(3)], dtype=np.float32)
    return _rounded(pixels * shade)


def _grain(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    height, width = pixels.shape[:2]
    deep = rng.uniform(1, 14) * strength
    grey = rng.random() < 0.6
    return _rounded(pixels + deep * _noise(rng, (height, width, 1 if grey else 3)))


def _texture(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Rough paper: noise that is smooth over some pixels."""
    height, width = pixels.shape[:2]
    size = rng.randint(2, 12)
    rough = _noise(rng, (height // size + 2, width // size + 2))
    picture = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
    return _rounded(pixels + rng.uniform(2, 10) * strength * np.asarray(picture)[:, :, None])


def _specks(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Dust on a copier's glass, and toner that did not hold."""
    height, width = pixels.shape[:2]
    changed = pixels.copy()
    for _ in range(int(height * width / 4000 * rng.random() * strength) + 1):
        y, x, size = rng.randrange(height), rng.randrange(width), rng.choice((1, 1, 1, 2))
        changed[y : y + size, x : x + size] = rng.choice((0, 60, 120, 255))
    return changed


def _through(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """The other side of the sheet."""
    behind = 255 - pixels[:, ::-1].astype(np.float32)
    faint = np.asarray(Image.fromarray(_rounded(behind)).filter(ImageFilter.GaussianBlur(1.5)), dtype=np.float32)
    return _rounded(pixels - rng.uniform(0.03, 0.12) * strength * faint)


def _grey(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def _fax(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    """Black and white alone."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32)
    low, high = np.percentile(grey, (1, 90))
    if high - low < 60:  # too little contrast for a fax to show anything
        return pixels
    sharp = grey > low + (high - low) * rng.uniform(0.5, 0.7)
    return np.repeat(np.where(sharp, 255, 0).astype(np.uint8)[:, :, None], 3, axis=2)


def _inverted(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    return 255 - pixels


def _jpeg(pixels: Pixels, rng: random.Random, strength: float) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=rng.randint(round(95 - 60 * min(1.0, strength)), 95))
    return np.asarray(Image.open(file).convert("RGB"))


# By how often each happens at full strength, in the order in which they happen to paper
_CHANGES: tuple[tuple[float, Callable[[Pixels, random.Random, float], Pixels]], ...] = (
    (0.30, _ink), (0.08, _through), (0.30, _tint), (0.25, _texture), (0.04, _inverted), (0.06, _fax), (0.35, _light),
    (0.40, _coarse), (0.35, _blur), (0.45, _tone), (0.40, _grain), (0.20, _specks), (0.25, _grey), (0.50, _jpeg),
)  # fmt: skip
