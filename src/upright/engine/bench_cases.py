"""What `upright bench` measures of an engine, and what it reports. Imports no torch: the command reads it too."""

from __future__ import annotations

import io
import random
import string
from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from upright.messages import EngineOptions

Size = tuple[int, int]  # width and height in pixels

PAGE: Size = (1036, 1036)
CROP: Size = (560, 280)
CPU_TOKENS = 8 * 384  # of a case that a CPU is done with before anybody loses patience
LINE_HEIGHT = 18  # pixels between two lines of a rendered page


class Case(msgspec.Struct, frozen=True):
    """Requests that are all there at once. They share no beginning, and end after exactly `output` tokens."""

    name: str
    requests: int
    prompt: int  # tokens, beside those of the image
    output: int
    image: Size | None = None
    quick: bool = True  # part of a quick run


CASES = (
    *(Case(f"decode {batch}", batch, 128, 256, quick=batch in (1, 64, 256)) for batch in (1, 8, 32, 64, 128, 256)),
    Case("prefill 16 x 4096", 16, 4096, 1),
    Case("mix 512 x (1024, 128)", 512, 1024, 128, quick=False),
    Case("image, first token", 1, 16, 1, PAGE),
    Case("64 pages", 64, 16, 256, PAGE),
    Case("128 crops", 128, 16, 128, CROP, quick=False),
)


class Named(Protocol):
    @property
    def name(self) -> str: ...


Some = TypeVar("Some", bound=Named)


def named(some: Iterable[Some], words: tuple[str, ...]) -> tuple[Some, ...]:
    """Those whose name is one of `words`, or holds one that is nobody's whole name."""
    all_of_them = tuple(some)
    names = {one.name for one in all_of_them}
    return tuple(
        one for one in all_of_them if one.name in words or any(word in one.name for word in words if word not in names)
    )


def chosen(only: tuple[str, ...], quick: bool, device: str) -> tuple[Case, ...]:
    """Cases that `only` names; without any, all that the device is made for.

    A quick run has fewer, with a quarter of the output.
    """
    found = named(CASES, only)
    if not only:
        small = (case for case in CASES if device != "cpu" or case.requests * (case.prompt + case.output) <= CPU_TOKENS)
        found = tuple(case for case in small if case.quick or not quick)
    return tuple(msgspec.structs.replace(case, output=max(1, case.output // 4)) for case in found) if quick else found


# ---- what crosses the pipe to the process that measures --------------------------------------------------------------


class Job(msgspec.Struct, frozen=True):
    options: EngineOptions
    cases: tuple[Case, ...]


class Stage(msgspec.Struct, frozen=True, tag=True):
    """Something has begun; for a person who waits."""

    text: str


class Peaks(msgspec.Struct, frozen=True, tag=True):
    """What the device can do, measured in the same run."""

    device: str
    dtype: str
    bytes_per_second: float  # of a copy on the device, read and written, or of a sum: the faster
    flop_per_second: float  # of a large product of matrices
    start_seconds: float  # from weights to the first step, imports not included
    memory: dict[str, int]  # bytes by part


class Row(msgspec.Struct, frozen=True, tag=True):
    """A finished case. Times are in seconds."""

    name: str
    requests: int
    seconds: float  # from the first submit to the last token
    first: float  # from the first submit to the first token of the last request to get one
    prompt_tokens: int  # those of images included
    output_tokens: int
    steps: int
    decode_step: float  # median step of those in which every request was there and decoded; 0.0 without any
    decode_bytes: float  # that such a step has to read: weights, and keys and values, on average
    flop: float  # of the whole case


class Skipped(msgspec.Struct, frozen=True, tag=True):
    name: str
    reason: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Nothing more can be measured."""

    reason: str


Report = Stage | Peaks | Row | Skipped | Failed


# ---- pictures --------------------------------------------------------------------------------------------------------


def picture(size: Size, seed: int) -> bytes:
    """A PNG of rendered lines of words; equal seeds give equal pictures."""
    from PIL import Image, ImageDraw

    rng = random.Random(seed)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for y in range(LINE_HEIGHT, size[1] - LINE_HEIGHT, LINE_HEIGHT):
        words = ("".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(size[0] // 60))
        draw.text((LINE_HEIGHT, y), " ".join(words), fill="black")
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()
