"""A request's image bytes to pixels, in worker threads, before the request enters the scheduler."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from torch import Tensor

from upright.messages import Image, RequestFault
from upright.models.resample import resize_bicubic


class ImageFault(Exception):
    """The bytes are not an image that can be read to its end. `fault` goes to the client as a 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.fault = RequestFault("invalid_image", message)


def decode_image(image: Image, number: int, patch_size: int) -> Tensor:
    """Pixels uint8 [height, width, 3] of the image at its target size; `number` counts from 1, for the message.

    As `transformers` loads images: turned by its EXIF orientation, then RGB. The front has checked the header, so the
    decoded size is within limits. Raises: ImageFault.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to refuse pixels
            Pillow.MAX_IMAGE_PIXELS = None  # the front's limit has been applied to the header
            with Pillow.open(io.BytesIO(image.content)) as opened:
                pixels = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
    except MemoryError as error:  # a crafted file asks for any amount: that must not end the engine
        raise ImageFault(f"image {number} takes more memory to decode than there is") from error
    except Exception as error:
        raise ImageFault(f"image {number} cannot be decoded, its file is damaged or cut off: {error}") from error
    return resize_bicubic(torch.from_numpy(pixels), image.grid_height * patch_size, image.grid_width * patch_size)
