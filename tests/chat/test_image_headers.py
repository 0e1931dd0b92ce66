"""What the header says is what a decoder sees."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import PIL.Image
import PIL.ImageOps
import pytest

from upright.chat.errors import BadRequest
from upright.chat.images import ImageRules, read_header, read_image
from upright.models.model_config import ImageProcessing, VisionConfig

VISION = VisionConfig("qwen2_vl", 1, 32, 2, 64, 32, 14, 2, 2, 3)
PROCESSING = ImageProcessing(3136, 401408, (0, 0, 0), (1, 1, 1))
LIMIT = 10**9


def saved(kind: str, orientation: int, width: int = 90, height: int = 60) -> bytes:
    image = PIL.Image.new("RGB", (width, height), "blue")
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
    return out.getvalue()


def decoded_size(content: bytes) -> tuple[int, int]:
    """As the engine sees it."""
    with PIL.Image.open(io.BytesIO(content)) as image:
        return PIL.ImageOps.exif_transpose(image).convert("RGB").size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_as_a_decoder_sees_it(kind: str, orientation: int) -> None:
    content = saved(kind, orientation)
    header = read_header(content, LIMIT, "here")
    assert (header.width, header.height) == decoded_size(content)
    assert header.format == kind


def test_orientation_behind_the_pixels_of_a_png() -> None:
    content = saved("PNG", 6)
    place = content.index(b"eXIf") - 4
    size = struct.unpack_from(">I", content, place)[0] + 12
    chunk = content[place : place + size]
    moved = content[:place] + content[place + size : -12] + chunk + content[-12:]
    assert decoded_size(moved) == (60, 90)
    header = read_header(moved, LIMIT, "here")
    assert (header.width, header.height) == (60, 90)


def test_orientation_in_the_xmp_of_a_png() -> None:
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="8"/>'
    chunk = struct.pack(">I", len(text)) + b"iTXt" + text + struct.pack(">I", zlib.crc32(b"iTXt" + text))
    plain = saved("PNG", 1)
    place = plain.index(b"eXIf") - 4
    size = struct.unpack_from(">I", plain, place)[0] + 12
    for content in (
        plain[:place] + chunk + plain[place + size :],
        plain[:place] + plain[place + size : -12] + chunk + plain[-12:],
    ):
        header = read_header(content, LIMIT, "here")
        assert (header.width, header.height) == decoded_size(content)


def test_pixels_are_limited_by_our_own_limit_alone() -> None:
    out = io.BytesIO()
    PIL.Image.new("1", (20_000, 10_000)).save(out, "PNG")  # past both of Pillow's own limits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_header(out.getvalue(), 200_000_000, "here").width == 20_000
        with pytest.raises(BadRequest, match="200,000,000 pixels") as caught:
            read_header(out.getvalue(), 199_999_999, "here")
    assert caught.value.code == "image_too_large"


def test_tokens_and_key() -> None:
    rules = ImageRules(VISION, PROCESSING, None, LIMIT)
    image = read_image(saved("JPEG", 6, 112, 56), rules, "here")
    assert (image.grid_height, image.grid_width, image.tokens) == (8, 4, 8)
    assert len(image.key) == 16
    smaller = ImageRules(VISION, PROCESSING, 56 * 56, LIMIT)
    assert read_image(saved("JPEG", 6, 112, 56), smaller, "here").key != image.key
    assert read_image(saved("JPEG", 6, 112, 56), rules, "elsewhere").key == image.key
