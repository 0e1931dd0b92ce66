"""What a model is taught: a conversation with pictures, of which it learns to say the assistant's part."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.world import World

Pixels = NDArray[np.uint8]  # [height, width, 3], RGB, as a client would send it
Role = Literal["system", "user", "assistant", "tool"]
Task = Literal["line", "text", "layout", "table", "read", "field", "tool", "nothing"]


@dataclass(frozen=True)
class Call:
    """Of a tool, by the assistant."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """Pictures come before the text. `calls` of the assistant come behind it."""

    role: Role
    text: str
    pictures: tuple[Pixels, ...] = ()
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Sample:
    """The last turn is the assistant's. `tools`: as OpenAI's API describes them, offered to the model."""

    task: Task
    turns: tuple[Turn, ...]
    tools: tuple[dict[str, Any], ...] = ()


# What makes a sample out of nothing but chance: equal generators make equal samples.
Maker = Callable[[random.Random, World], Sample]
# And what makes several that share what costs most, each of them when it is asked for.
MakerOfSeveral = Callable[[random.Random, World], Iterator[Sample]]
