"""What an image costs, from its header alone: format, size, orientation, tokens. No pixel is decoded here."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING

from upright.chat.errors import BadRequest
from upright.messages import Image
from upright.models.image_grid import ImageGrid, image_grid
from upright.models.model_config import ImageProcessing, VisionConfig

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
ORIENTATION = 0x0112  # EXIF tag
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 256  # of a file that is read on the event loop; what writes PNG files writes far fewer
PNG_METADATA = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # chunks
SIDEWAYS = {5, 6, 7, 8}  # orientations that swap width and height


@dataclass(frozen=True)
class ImageRules:
    """What the model and the server make of images."""

    vision: VisionConfig
    processing: ImageProcessing
    max_pixels: int | None  # after resizing; None: as the model's image processor says
    max_source_pixels: int  # before resizing


@dataclass(frozen=True)
class ImageHeader:
    """Size in pixels as seen upright: EXIF orientation is taken into account, as whoever decodes it will."""

    format: str
    width: int
    height: int


def read_image(content: bytes, rules: ImageRules, param: str) -> Image:
    """Measure one image file; `start` is still to be set. Raises: BadRequest."""
    header = read_header(content, rules.max_source_pixels, param)
    try:
        grid = image_grid(header.height, header.width, rules.vision, rules.processing, rules.max_pixels)
    except ValueError as error:
        raise BadRequest(f"{param}: {error}", param, "invalid_image") from error
    return Image(
        content=content,
        key=image_key(content, grid),
        start=-1,
        grid_height=grid.grid_height,
        grid_width=grid.grid_width,
        tokens=grid.tokens,
    )


def image_key(content: bytes, grid: ImageGrid) -> bytes:
    """16 bytes that name the content at its target size: equal keys mean equal vision features."""
    digest = hashlib.sha256(content)  # processors have instructions for it
    digest.update(struct.pack("<QQ", grid.grid_height, grid.grid_width))
    return digest.digest()[:16]


def read_header(content: bytes, max_pixels: int, param: str) -> ImageHeader:
    """Raises: BadRequest for what is no image of a known format, or one with more than `max_pixels`."""
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise BadRequest(
                    f"{param}: the image has {width}x{height} = {width * height:,} pixels; the server takes at most "
                    f"{max_pixels:,} (--max-image-pixels)",
                    param,
                    "image_too_large",
                )
            kind = image.format or "image"
            if _orientation(image, content) in SIDEWAYS:
                width, height = height, width
    except pillow.UnidentifiedImageError as error:
        raise BadRequest(
            f"{param}: the {len(content):,} bytes are no image that can be read; "
            f"send {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
            param,
            "invalid_image",
        ) from error
    except (
        OSError,
        EOFError,
        ValueError,
        SyntaxError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        struct.error,
    ) as error:
        # Pillow's parsers raise all of these on files that are broken in creative ways.
        raise BadRequest(f"{param}: the image is damaged: {error}", param, "invalid_image") from error
    return ImageHeader(kind, width, height)


@cache
def _pillow() -> ModuleType:
    import PIL.Image

    # Our own limit is checked on every header; Pillow's would warn, or refuse what the server was told to allow.
    PIL.Image.MAX_IMAGE_PIXELS = None
    return PIL.Image


def _orientation(image: PIL.Image.Image, content: bytes) -> int:
    """The EXIF orientation that a decoder will see; 1 is upright."""
    import PIL.Image

    if image.format == "PNG" and png_metadata_after_pixels(content):
        image.load()  # rare: only decoding reaches the metadata, as it does in the engine
    # A PNG's own getexif() decodes the pixels first; the base class reads what the header gave.
    return int(PIL.Image.Image.getexif(image).get(ORIENTATION, 1) or 1)


def header_is_at_hand(content: bytes) -> bool:
    """Whether size and orientation are found without decoding anything, so that it takes no time worth a thread."""
    if content.startswith(PNG_SIGNATURE):
        kinds = list(islice(_png_chunks(content), MOST_CHUNKS))
        return len(kinds) < MOST_CHUNKS and not _metadata_after_pixels(kinds)
    return content.startswith(b"\xff\xd8\xff")  # JPEG


def png_metadata_after_pixels(content: bytes) -> bool:
    """Whether a PNG has EXIF or text behind its pixel data, where reading the header does not reach."""
    return _metadata_after_pixels(_png_chunks(content))


def _metadata_after_pixels(kinds: Iterable[bytes]) -> bool:
    pixels = False
    for kind in kinds:
        if pixels and kind in PNG_METADATA:
            return True
        pixels = pixels or kind == b"IDAT"
    return False


def _png_chunks(content: bytes) -> Iterator[bytes]:
    """The kind of each chunk."""
    place = len(PNG_SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind
        place += 12 + length
