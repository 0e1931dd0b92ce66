"""What scanners, cameras, printers and copies do to a page."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from training.samples import Pixels

Box = tuple[int, int, int, int]
Change = Callable[[Image.Image, random.Random, float], Image.Image]
MANY = 600_000  # pixels, above which a smoother but slower way of turning costs too much

# A byte that is drawn evenly falls on these as often as a normal distribution does; its standard deviation is 1.
_NORMAL = np.array([NormalDist().inv_cdf((value + 0.5) / 256) for value in range(256)], dtype=np.float32)


def degrade(pixels: Pixels, rng: random.Random, strength: float, geometry: bool = True) -> Pixels:
    """`strength` 0 leaves all as it is, 1 is a bad photograph of a bad copy. Without `geometry` nothing moves.

    uint8 [height, width, 3] in and out, of the same size.
    """
    if strength <= 0:
        return pixels
    if geometry and rng.random() < 0.5 * strength:
        pixels = warp(pixels, (), rng, strength)[0]
    changes = [change for chance, change in CHANGES if rng.random() < chance * strength]
    if not changes:
        return pixels
    picture = Image.fromarray(pixels)
    for change in changes:
        picture = change(picture, rng, strength)
    return np.asarray(picture)


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
    smooth = Image.Resampling.BICUBIC if height * width < MANY else Image.Resampling.BILINEAR
    picture = Image.fromarray(pixels).transform(
        (width, height), Image.Transform.PERSPECTIVE, tuple(back.flatten()[:8]), smooth, fillcolor=paper_of(pixels)
    )
    return np.asarray(picture), tuple(_moved(box, there, width, height) for box in boxes)


def _moved(box: Box, there: NDArray[np.float64], width: int, height: int) -> Box:
    x0, y0, x1, y1 = box
    corners = np.array([[x0, x1, x1, x0], [y0, y0, y1, y1], [1, 1, 1, 1]], dtype=np.float64)
    moved = there @ corners
    xs, ys = moved[0] / moved[2], moved[1] / moved[2]
    left, right = (max(0, min(width, int(x))) for x in (np.floor(xs.min()), np.ceil(xs.max())))
    top, bottom = (max(0, min(height, int(y))) for y in (np.floor(ys.min()), np.ceil(ys.max())))
    return left, top, right, bottom


def colourless(pixels: Pixels) -> bool:
    """Whether it is all grey; a few of its pixels are looked at first."""
    return all(
        np.array_equal(some[:, :, 0], some[:, :, 1]) and np.array_equal(some[:, :, 0], some[:, :, 2])
        for some in (pixels[::9, ::9], pixels)
    )


def resized(pixels: Pixels, height: int, width: int, how: Image.Resampling = Image.Resampling.BICUBIC) -> Pixels:
    """One channel is enough for a picture that has no colour, and none is touched where nothing changes."""
    if pixels.shape[:2] == (height, width):
        return pixels
    if not colourless(pixels):
        return np.asarray(Image.fromarray(pixels).resize((width, height), how))
    grey = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0])).resize((width, height), how)
    return np.asarray(_grey_of(grey))


def paper_of(pixels: Pixels) -> tuple[int, int, int]:
    """The colour around the edge."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(edge, axis=0))
    return red, green, blue


def _bytes(rng: random.Random, *shape: int) -> NDArray[np.uint8]:
    generator = np.random.default_rng(rng.getrandbits(63))
    return np.frombuffer(generator.bytes(math.prod(shape)), dtype=np.uint8).reshape(shape)


def _table(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    table: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return table


def _grey_of(picture: Image.Image) -> Image.Image:
    return Image.merge("RGB", (picture, picture, picture))


def _filtered(picture: Image.Image, how: ImageFilter.Filter) -> Image.Image:
    """One channel is enough for a picture that has no colour, as most have."""
    red, green, blue = picture.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        return _grey_of(red.filter(how))
    return picture.filter(how)


def _added(picture: Image.Image, noise: Image.Image) -> Image.Image:
    """128 adds nothing."""
    return ImageChops.add(picture, noise, 1, -128)


def _ink(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Strokes that have run, or have not been printed whole."""
    pixels = np.asarray(picture)
    pick = np.minimum if rng.random() < 0.6 else np.maximum
    spread = pixels.copy()
    spread[1:-1] = pick(pick(pixels[:-2], pixels[1:-1]), pixels[2:])
    wide = spread.copy()
    wide[:, 1:-1] = pick(pick(spread[:, :-2], spread[:, 1:-1]), spread[:, 2:])
    return Image.blend(picture, Image.fromarray(wide), rng.uniform(0.1, 0.5) * min(1.0, strength))


def _through(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """The other side of the sheet, whose lines are not where those of this side are."""
    behind = ImageChops.invert(picture.reduce(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    behind = ImageChops.offset(behind, 0, rng.randrange(behind.height))
    faint = _table(np.arange(256, dtype=np.float32) * rng.uniform(0.03, 0.15) * strength).tolist() * 3
    soft = _filtered(behind, ImageFilter.BoxBlur(1)).point(faint)
    return ImageChops.subtract(picture, soft.resize(picture.size, Image.Resampling.BILINEAR))


def _tint(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Paper that was never white."""
    values = np.arange(256, dtype=np.float32)
    shades = [_table(values * (1 - rng.uniform(0, 0.18) * strength)) for _ in range(3)]
    return picture.point([int(value) for shade in shades for value in shade])


def _texture(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Rough paper: noise that is smooth over some pixels."""
    size = rng.randint(2, 12)
    table = _table(128 + rng.uniform(2, 10) * strength * _NORMAL)
    rough = Image.fromarray(table[_bytes(rng, picture.height // size + 2, picture.width // size + 2)])
    return _added(picture, _grey_of(rough.resize(picture.size, Image.Resampling.BICUBIC)))


def _inverted(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    return ImageChops.invert(picture)


def _fax(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Black and white alone."""
    grey = picture.convert("L")
    counts = np.cumsum(grey.histogram())
    low, high = (int(np.searchsorted(counts, counts[-1] * share)) for share in (0.01, 0.9))
    edge = low + (high - low) * rng.uniform(0.5, 0.7)
    if high - low < 60:  # too little contrast for a fax to show anything
        return picture
    return _grey_of(grey.point([255 if value > edge else 0 for value in range(256)]))


def _light(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Brighter on one side, or with the shadow of a hand."""
    width, height = picture.size
    direction = rng.uniform(0, 2 * math.pi)
    across = np.linspace(-0.5, 0.5, max(2, width // 4), dtype=np.float32) * math.cos(direction)
    down = np.linspace(-0.5, 0.5, max(2, height // 4), dtype=np.float32) * math.sin(direction)
    slope = across[None, :] + down[:, None]
    deep = rng.uniform(0.05, 0.3) * strength
    if rng.random() < 0.3:
        slope = np.tanh((slope - rng.uniform(-0.3, 0.3)) * rng.uniform(4, 20)) / 2
    field = Image.fromarray(_table(255 * (1 - deep * (0.5 + slope))))
    return ImageChops.multiply(picture, _grey_of(field.resize(picture.size, Image.Resampling.BILINEAR)))


def _coarse(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Scanned at fewer dots to an inch."""
    factor = rng.uniform(1.0, 1.0 + 0.7 * strength)
    small = (max(1, round(picture.width / factor)), max(1, round(picture.height / factor)))
    down = rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX))
    up = rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC))
    return picture.resize(small, down).resize(picture.size, up)


def _blur(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    if rng.random() < 0.25:  # a hand that moved
        size, along = (5 if rng.random() < 0.3 * strength else 3), rng.random() < 0.5
        middle = size // 2
        kernel = [float((row if along else column) == middle) for row in range(size) for column in range(size)]
        return _filtered(picture, ImageFilter.Kernel((size, size), kernel))
    return _filtered(picture, ImageFilter.GaussianBlur(rng.uniform(0.2, 0.4 + 0.7 * strength)))


def _tone(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Contrast, brightness and gamma."""
    values = (np.arange(256, dtype=np.float32) / 255) ** rng.uniform(1 / (1 + 0.7 * strength), 1 + 0.7 * strength)
    low = rng.uniform(0, 0.35 * strength)
    high = rng.uniform(max(low + 0.45, 1 - 0.25 * strength), 1.0)
    return picture.point(_table(255 * (low + (high - low) * values)).tolist() * 3)


def _grain(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """A sensor's noise, of each colour by itself or of all at once."""
    table = _table(128 + rng.uniform(1, 14) * strength * _NORMAL)
    if rng.random() < 0.6:
        return _added(picture, _grey_of(Image.fromarray(table[_bytes(rng, picture.height, picture.width)])))
    return _added(picture, Image.fromarray(table[_bytes(rng, picture.height, picture.width, 3)]))


def _speckle(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Noise that grows with the light: ink stays as dark as it was."""
    table = _table(255 * (1 - rng.uniform(0.02, 0.12) * strength * abs(_NORMAL)))
    return ImageChops.multiply(picture, _grey_of(Image.fromarray(table[_bytes(rng, picture.height, picture.width)])))


def _salt(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Single pixels that are black or white, one to three of 256 each."""
    drawn = _bytes(rng, picture.height, picture.width)
    most = 1 + round(2 * min(1.0, strength))
    black, white = rng.randint(1, most), rng.randint(0, most)
    peppered = ImageChops.darker(picture, _grey_of(Image.fromarray(np.where(drawn < black, 0, 255).astype(np.uint8))))
    salt = np.where(drawn > 255 - white, 255, 0).astype(np.uint8)
    return ImageChops.lighter(peppered, _grey_of(Image.fromarray(salt)))


def _specks(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Dust on a copier's glass, and toner that did not hold."""
    changed = picture.copy()
    draw = ImageDraw.Draw(changed)
    for _ in range(int(picture.height * picture.width / 4000 * rng.random() * strength) + 1):
        x, y, more = rng.randrange(picture.width), rng.randrange(picture.height), rng.choice((0, 0, 0, 1))
        draw.rectangle((x, y, x + more, y + more), (rng.choice((0, 60, 120, 255)),) * 3)
    return changed


def _grey(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    return _grey_of(picture.convert("L"))


def _jpeg(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=rng.randint(round(95 - 70 * min(1.0, strength)), 95))
    return Image.open(file).convert("RGB")


# By how often each happens at full strength, in the order in which they happen to paper
CHANGES: tuple[tuple[float, Change], ...] = (
    (0.30, _ink), (0.08, _through), (0.30, _tint), (0.25, _texture), (0.04, _inverted), (0.06, _fax), (0.35, _light),
    (0.40, _coarse), (0.35, _blur), (0.45, _tone), (0.35, _grain), (0.10, _speckle), (0.06, _salt), (0.20, _specks),
    (0.25, _grey), (0.50, _jpeg),
)  # fmt: skip
