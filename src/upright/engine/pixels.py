"""Decoded images that wait for the vision tower."""

from __future__ import annotations

from torch import Tensor


class PixelStore:
    """Pixels by image key, from the decoder to the tower; one thread uses it.

    An image that is wanted and not here (its features were there when its request came, and are no longer) is decoded
    again: nothing depends on what is kept, except time.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._pixels: dict[bytes, Tensor] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._pixels

    def put(self, key: bytes, pixels: Tensor) -> None:
        """Keep `pixels`, uint8 [height, width, 3]."""
        self.take(key)
        self._pixels[key] = pixels
        self.bytes += pixels.nbytes

    def take(self, key: bytes) -> Tensor | None:
        """Hand the pixels over; None if they are not here."""
        pixels = self._pixels.pop(key, None)
        if pixels is not None:
            self.bytes -= pixels.nbytes
        return pixels
