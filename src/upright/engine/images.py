"""A request's image bytes to pixels, in worker threads, before the request enters the scheduler."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from upright.engine.png import plain_png
from upright.engine.room import Room
from upright.messages import Image, RequestFault
from upright.models.resample import resize_bicubic

AT_WORK_BYTES = 2 << 30  # for all images that are being decoded at the same time, unless one alone needs more
BYTES_A_PIXEL = 13  # while decoding: four each for Pillow's pixels and a conversion or a turn, three, and two halves
SENT_BYTES = 64 << 20  # of an image that a GPU resizes: pinned memory is never given back, and a GPU's is planned


class ImageFault(Exception):
    """The bytes are not an image that can be read to its end."""

    def told(self, index: int) -> RequestFault:
        """What the client gets as a 400; `index` is the image's among those of the request."""
        return RequestFault("invalid_image", f"the image {self}", index)


class ImageDecoder:
    """Files to pixels for one device. Threads share it."""

    def __init__(self, patch_size: int, device: torch.device) -> None:
        from PIL import Image as Pillow

        Pillow.MAX_IMAGE_PIXELS = None  # the front's limit has been applied to the header
        warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata is no reason to refuse pixels
        self._patch_size = patch_size
        self.device = device
        self._room = Room(AT_WORK_BYTES)

    def decode(self, image: Image) -> Tensor:
        """Pixels uint8 [height, width, 3] of the image, in the host's memory.

        As `transformers` loads images: turned by its EXIF orientation, then RGB. They get their target size here, but
        a GPU resizes all except the largest itself: for it they keep the file's, and lie in pinned memory, which it
        reads without the host. The front has checked the header, so the decoded size is within limits.

        Raises: ImageFault.
        """
        from PIL import Image as Pillow
        from PIL import ImageOps

        with _told_to_client():
            opened = Pillow.open(io.BytesIO(image.content))
        with opened, self._room.taken(opened.width * opened.height * BYTES_A_PIXEL):
            with _told_to_client():
                values = plain_png(image.content)
                if values is None:
                    ImageOps.exif_transpose(opened, in_place=True)
                    values = np.asarray(opened if opened.mode == "RGB" else opened.convert("RGB"))
            if self.device.type == "cuda" and values.nbytes <= SENT_BYTES:
                pixels = torch.empty(values.shape, dtype=torch.uint8, pin_memory=True)
                np.copyto(pixels.numpy(), values)
                return pixels
            with _told_to_client():
                pixels = torch.from_numpy(values.copy())
        return resize_bicubic(pixels, image.grid_height * self._patch_size, image.grid_width * self._patch_size)


@contextmanager
def _told_to_client() -> Iterator[None]:
    """Whatever goes wrong inside is the image's fault. Raises: ImageFault."""
    try:
        yield
    except MemoryError as error:  # a crafted file asks for any amount: that must not end the engine
        raise ImageFault("takes more memory to decode than there is") from error
    except Exception as error:
        raise ImageFault(f"cannot be decoded, its file is damaged or cut off: {error}") from error
