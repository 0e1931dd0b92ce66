"""Image files to pixels, as the reference loads them, within a bounded amount of memory."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageOps

from upright.engine.images import ImageDecoder, ImageFault
from upright.engine.room import Room
from upright.messages import Image

PATCH = 14


def drawn(mode: str) -> Pillow.Image:
    noise = np.random.default_rng(0).integers(0, 256, (56, 84, 4), dtype=np.uint8)
    image = Pillow.fromarray(noise, "RGBA").convert("RGB") if mode in ("P", "CMYK") else Pillow.fromarray(noise, "RGBA")
    return image.convert(mode)


def file_of(image: Pillow.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return file_of(drawn("RGB"), "JPEG", exif=exif)


FILES = {
    **{f"png-{mode}": file_of(drawn(mode), "PNG") for mode in ("RGB", "RGBA", "LA", "L", "P", "1", "I;16")},
    "png-transparent-palette": file_of(drawn("P"), "PNG", transparency=3),
    "png-transparent-colour": file_of(drawn("RGB"), "PNG", transparency=(1, 2, 3)),
    "jpeg-cmyk": file_of(drawn("CMYK"), "JPEG"),
    "jpeg-turned": turned(),
    "gif": file_of(drawn("P"), "GIF"),
    "webp": file_of(drawn("RGBA"), "WEBP", lossless=True),
    "bmp": file_of(drawn("RGB"), "BMP"),
}


def image_of(content: bytes, height: int = 56, width: int = 84) -> Image:
    return Image(content, b"", 0, height // PATCH, width // PATCH, height * width // 784)


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_the_reference(name: str) -> None:
    with Pillow.open(io.BytesIO(FILES[name])) as opened:
        expected = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
    decoder = ImageDecoder(PATCH, torch.device("cpu"))
    pixels = decoder.decode(image_of(FILES[name], *expected.shape[:2]))
    assert np.array_equal(pixels.numpy(), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pixels_for_a_gpu_are_pinned_and_not_resized() -> None:
    pixels = ImageDecoder(PATCH, torch.device("cuda")).decode(image_of(FILES["png-RGB"], 28, 28))
    assert pixels.is_pinned() and list(pixels.shape) == [56, 84, 3]
    assert torch.equal(pixels, ImageDecoder(PATCH, torch.device("cpu")).decode(image_of(FILES["png-RGB"])))


@pytest.mark.parametrize("content", [FILES["png-RGB"][:-2000], b"no image", FILES["jpeg-turned"][:300]], ids=len)
def test_a_damaged_file_is_the_requests_fault(content: bytes) -> None:
    with pytest.raises(ImageFault) as raised:
        ImageDecoder(PATCH, torch.device("cpu")).decode(image_of(content))
    fault = raised.value.told(3)
    assert (fault.code, fault.image) == ("invalid_image", 3)
    assert fault.message.startswith("the image cannot be decoded")


def test_a_file_that_wants_more_memory_than_there_is_does_not_end_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Pillow.Image, "convert", greedy)
    with pytest.raises(ImageFault, match="takes more memory to decode than there is"):
        ImageDecoder(PATCH, torch.device("cpu")).decode(image_of(FILES["png-L"]))


def test_threads_together_stay_within_a_room() -> None:
    room, lock, inside, most = Room(100), threading.Lock(), 0, 0

    def work(size: int) -> None:
        nonlocal inside, most
        with room.taken(size):
            with lock:
                inside += min(size, 100)
                most = max(most, inside)
            with lock:
                inside -= min(size, 100)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, [30, 60, 100, 1, 500] * 40))
    assert inside == 0 and 0 < most <= 100


def test_a_room_is_free_again_after_an_error() -> None:
    room = Room(10)
    with pytest.raises(ValueError, match="damaged"), room.taken(10):
        raise ValueError("damaged")
    with room.taken(10):
        pass
