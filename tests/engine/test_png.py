"""Plain PNGs by the fast decoder: Pillow's pixels, and nothing for what is not plain or not whole."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import PngImagePlugin

from upright.engine.png import plain_png

RGBA = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 4), dtype=np.uint8), "RGBA")


def png(image: Pillow.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def by_pillow(content: bytes) -> np.ndarray | None:
    try:
        with Pillow.open(io.BytesIO(content)) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return None


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"dpi": (300, 300)}, {"compress_level": 0}, {"optimize": True}], ids=str)
def test_plain_pictures_have_pillows_pixels(mode: str, options: dict[str, object]) -> None:
    image = RGBA.convert(mode)
    pixels = plain_png(png(image, **options))
    assert pixels is not None and np.array_equal(pixels, np.asarray(image.convert("RGB")))


def turned() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return png(RGBA.convert("RGB"), exif=exif)


def annotated() -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    return png(RGBA.convert("RGB"), pnginfo=notes)


OTHERS = {
    **{mode: png(RGBA.convert("RGB").convert(mode)) for mode in ("L", "P", "1", "I;16", "LA")},
    "transparent colour": png(RGBA.convert("RGB"), transparency=(1, 2, 3)),
    "animated": png(RGBA, save_all=True, append_images=[RGBA.rotate(90)]),
    "turned": turned(),
    "annotated": annotated(),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(60),
    "empty": b"",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_plain_is_left_to_pillow(name: str) -> None:
    assert plain_png(OTHERS[name]) is None


WHOLE = png(RGBA)


@given(at=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7), end=st.integers(1, len(WHOLE)))
@settings(max_examples=150, deadline=None)
def test_damage_is_never_taken_for_a_picture(at: int, bit: int, end: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= 1 << bit
    for content in (bytes(damaged), WHOLE[:end], bytes(damaged)[:end]):
        pixels = plain_png(content)
        if pixels is not None:
            expected = by_pillow(content)
            assert expected is not None and np.array_equal(pixels, expected)


@pytest.mark.parametrize("side", [0, 1 << 20])
def test_no_memory_is_taken_for_a_size_that_the_file_cannot_hold(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = WHOLE[:8] + WHOLE[8:12] + header + zlib.crc32(header).to_bytes(4, "big") + WHOLE[33:]
    monkeypatch.setattr("upright.engine.png.decode_image_png_u8", lambda *_: pytest.fail("it was tried"))
    assert plain_png(content) is None
