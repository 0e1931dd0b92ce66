"""From samples to numbers: patches of pictures, and token ids of which some are learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.render.degrade import resized
from training.samples import Pixels, Sample, Turn
from training.shape import Shape
from upright.models.image_grid import image_grid
from upright.models.model_config import ImageProcessing, VisionConfig

_PAD = "<|image_pad|>"
_BEGIN, _END = "<|im_start|>assistant\n", "<|im_end|>"  # of what the assistant says
NOTHING = -100


@dataclass(frozen=True)
class Encoded:
    """One conversation."""

    task: str
    patches: NDArray[np.uint8]  # [P, 3 * patch * patch]
    grids: tuple[tuple[int, int], ...]  # height and width of each picture, in patches
    ids: NDArray[np.int64]  # [T]
    labels: NDArray[np.int64]  # [T]: the token that follows where it is the assistant's, else NOTHING
    slots: NDArray[np.int64]  # [P / merge²]: where in T the pictures' tokens are
    positions: NDArray[np.int32]  # [3, T]

    @property
    def learnt(self) -> int:
        return int(np.count_nonzero(self.labels != NOTHING))


class Encoder:
    """`directory`: of a tokenizer and its chat template."""

    def __init__(self, directory: Path, shape: Shape) -> None:
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._speller = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._speller.model.dropout = 1.0  # of merges: bytes are left
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        self._template = environment.from_string((directory / "chat_template.jinja").read_text())
        self._shape = shape
        self._pad = self._tokenizer.token_to_id(_PAD)
        self._vision = VisionConfig(
            "qwen2_vl", shape.vision_layers, shape.vision_hidden, shape.vision_heads,
            shape.vision_ratio * shape.vision_hidden, shape.hidden, shape.patch, 2, shape.merge, 3,
        )  # fmt: skip
        self._processing = ImageProcessing(
            shape.least_pixels, shape.most_pixels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
        )  # fmt: skip

    def encode(self, sample: Sample, spelled: bool = False, larger: float = 1.0) -> Encoded:
        """`spelled`: what the assistant says is letter by letter. `larger`: how many times its pictures are as wide and
        as high as they were drawn, if there is room for that.

        Raises: ValueError where the template does not write each of the assistant's turns by itself.
        """
        pictures = [picture for turn in sample.turns for picture in turn.pictures]
        patches, grids = [], []
        for picture in pictures:
            height, width = (round(side * larger) for side in picture.shape[:2])
            grid = image_grid(height, width, self._vision, self._processing)
            patches.append(to_patches(resized(picture, grid.height, grid.width), self._shape))
            grids.append((grid.grid_height, grid.grid_width))
        merged = [(height // self._shape.merge, width // self._shape.merge) for height, width in grids]
        ids, learnt = self._tokens(sample, [height * width for height, width in merged], spelled)
        labels = np.full(len(ids), NOTHING, dtype=np.int64)
        labels[:-1] = np.where(learnt[1:], ids[1:], NOTHING)
        slots = np.flatnonzero(ids == self._pad)
        empty = np.zeros((0, 3 * self._shape.patch**2), dtype=np.uint8)
        return Encoded(
            sample.task, np.concatenate(patches) if patches else empty, tuple(grids), ids, labels, slots,
            positions(ids == self._pad, merged),
        )  # fmt: skip

    def _tokens(self, sample: Sample, sizes: list[int], spelled: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids, and which are the assistant's."""
        messages = [_message(turn) for turn in sample.turns]
        tools = list(sample.tools) or None
        left = iter(sizes)
        ids: list[int] = []
        learnt: list[bool] = []
        rest = self._template.render(messages=messages, tools=tools, add_generation_prompt=False)
        for _ in (turn for turn in sample.turns if turn.role == "assistant"):
            asked, begin, after = rest.partition(_BEGIN)
            answered, end, rest = after.partition(_END)  # what follows it is not said by the assistant any more
            if not end:
                raise ValueError("the chat template does not render each of the assistant's turns by itself")
            for text, own in ((asked + begin, False), (answered + end, True)):
                tokenizer = self._speller if own and spelled else self._tokenizer
                for token in tokenizer.encode(text, add_special_tokens=False).ids:
                    count = next(left) if token == self._pad else 1
                    ids += [token] * count
                    learnt += [own] * count
        return np.array(ids, dtype=np.int64), np.array(learnt, dtype=np.bool_)


def _message(turn: Turn) -> dict[str, Any]:
    content: list[Mapping[str, str]] | str = turn.text
    if turn.pictures:
        content = [*({"type": "image"} for _ in turn.pictures), {"type": "text", "text": turn.text}]
    message: dict[str, Any] = {"role": turn.role, "content": content}
    if turn.calls:
        message["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in turn.calls
        ]
    return message


def to_patches(picture: Pixels, shape: Shape) -> NDArray[np.uint8]:
    """[patches, 3 * patch * patch], those that are merged next to each other, channels first."""
    patch, merge = shape.patch, shape.merge
    rows, columns = picture.shape[0] // patch // merge, picture.shape[1] // patch // merge
    split = picture.reshape(rows, merge, patch, columns, merge, patch, 3)
    return np.ascontiguousarray(split.transpose(0, 3, 1, 4, 6, 2, 5)).reshape(-1, 3 * patch * patch)


def positions(is_picture: NDArray[np.bool_], merged: list[tuple[int, int]]) -> NDArray[np.int32]:
    """On the axes of time, rows and columns, int32 [3, T], as `upright.models.mrope` counts them."""
    out = np.empty((3, len(is_picture)), dtype=np.int32)
    index = position = 0
    for height, width in merged:
        begin = index + int(np.argmax(is_picture[index:]))
        out[:, index:begin] = np.arange(position, position + begin - index)
        position += begin - index
        end = begin + height * width
        out[0, begin:end] = position
        out[1, begin:end] = position + np.repeat(np.arange(height), width)
        out[2, begin:end] = position + np.tile(np.arange(width), height)
        position += max(height, width)
        index = end
    out[:, index:] = np.arange(position, position + len(is_picture) - index)
    return out


@lru_cache(256)
def places(grid: tuple[int, int], merge: int) -> NDArray[np.int32]:
    """Row and column of every patch, int32 [2, patches], in the order of `to_patches`."""
    height, width = grid
    rows, columns = np.indices((height, width), dtype=np.int32)
    split = np.stack((rows, columns)).reshape(2, height // merge, merge, width // merge, merge)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 2, 4)).reshape(2, -1)


def starts(lengths: list[int]) -> NDArray[np.int32]:
    return np.array([0, *accumulate(lengths)], dtype=np.int32)
