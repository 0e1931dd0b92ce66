"""Pages and the parts of them, as they are sent to a model of MinerU's family."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from upright.cli.parse.protocol import SCALE, SIDE, Block

MOST_PIXELS = 100_000_000  # of a page, as a server has it by default
LEAST_EDGE = 28  # pixels: what is smaller is scaled up
# Of a page's thousand: a box that ends a little too early costs a letter of each line. With twice as much, lines of the
# blocks above and below get in.
MARGIN = 3
MOST_ASPECT = 50  # of the longer edge to the shorter: what is longer is padded


class UnreadablePicture(Exception):
    """The file holds no picture that can be read; the message says why."""


def check_page(path: Path) -> None:
    """Whether it looks like a picture that can be opened, without reading its pixels. Raises: UnreadablePicture."""
    with _opened(path):
        pass


def open_page(path: Path) -> Image.Image:
    """The picture upright and in RGB; what is transparent is white. Raises: UnreadablePicture."""
    with _opened(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.has_transparency_data:
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        return picture.convert("RGB")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """What goes wrong inside is told. Raises: UnreadablePicture."""
    try:
        quiet = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
        with quiet, Image.open(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            yield opened
    except FileNotFoundError as error:
        raise UnreadablePicture(f"there is no {path}") from error
    except IsADirectoryError as error:
        raise UnreadablePicture(f"{path} is a directory; name the pictures in it") from error
    except UnidentifiedImageError as error:
        pages = path.suffix.lower() == ".pdf"
        hint = "make a picture of each of its pages first" if pages else "PNG and JPEG are usual"
        raise UnreadablePicture(f"{path} is no picture that Pillow can read; {hint}") from error
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(f"{path} has more than {MOST_PIXELS:,} pixels; make it smaller") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadablePicture(f"{path} cannot be read: {error}") from error


def squashed(page: Image.Image) -> Image.Image:
    return page.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def cut_out(page: Image.Image, block: Block) -> Image.Image:
    """A block with a little around it, turned upright."""
    left, top = (max(0, side - MARGIN) for side in block.box[:2])
    right, bottom = (min(SCALE, side + MARGIN) for side in block.box[2:])
    width, height = page.size
    box = left * width // SCALE, top * height // SCALE, -(-right * width // SCALE), -(-bottom * height // SCALE)
    part = page.crop(box)
    if block.angle:
        part = part.rotate(block.angle, expand=True)
    long, short = max(part.size), min(part.size)
    if long > MOST_ASPECT * short:
        short = -(-long // MOST_ASPECT)
        padded = Image.new("RGB", (max(part.width, short), max(part.height, short)), "white")
        padded.paste(part, ((padded.width - part.width) // 2, (padded.height - part.height) // 2))
        part = padded
    if short < LEAST_EDGE:
        scale = LEAST_EDGE / short
        part = part.resize((round(part.width * scale), round(part.height * scale)), Image.Resampling.BICUBIC)
    return part


def data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
