"""Plain PNGs to pixels. Documents come as PNGs, somebody waits for each, and Pillow takes several times as long."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from kornia_rs.io import decode_image_png_u8

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MODES = {2: "rgb", 6: "rgba"}  # by PNG's colour types, of 8 bits a value
_DENSEST = 1032  # bytes that deflate makes of one at most: what would hold more pixels than that is damaged
# Chunks that change no pixel. All others (palettes, transparent colours, orientation, animation) are Pillow's to read.
_HARMLESS = {b"IHDR", b"IDAT", b"IEND", b"pHYs", b"tIME", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD"}


def plain_png(content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """Pixels uint8 [height, width, 3] of a PNG without anything special; None for whatever another decoder is to read.

    That includes what is damaged: the other one knows what to say.
    """
    if len(content) < 33 or not content.startswith(_SIGNATURE) or content[12:16] != b"IHDR":
        return None
    width, height, depth, colour, compression, kind, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    mode = _MODES.get(colour)
    if mode is None or depth != 8 or compression or kind or interlaced or not _HARMLESS.issuperset(_chunks(content)):
        return None
    # Before memory is taken for a size that nothing but a damaged header asks for.
    if zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big"):
        return None
    if not width or not height or width * height * len(mode) > _DENSEST * len(content):
        return None
    try:
        pixels: np.ndarray[Any, np.dtype[np.uint8]] = decode_image_png_u8(content, (height, width), mode)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None
    return pixels[..., :3]


def _chunks(content: bytes) -> Iterator[bytes]:
    """The types of all chunks, as far as they are whole."""
    at = len(_SIGNATURE)
    while at + 12 <= len(content):
        yield content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4], "big")
