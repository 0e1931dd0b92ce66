"""How a model of MinerU's family is asked for a document: first where what stands on a page, then what each part says.

After the client of MinerU2.5, https://github.com/opendatalab/mineru-vl-utils. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SYSTEM = "You are a helpful assistant."
SIDE = 1036  # pixels: pages are squashed to a square of that side before they are laid out
SCALE = 1000  # of a page's width and height in the model's answer

_BOX = r"<\|box_start\|>(\d+) (\d+) (\d+) (\d+)<\|box_end\|>"
_BLOCK = re.compile(_BOX + r"<\|ref_start\|>(\w+)<\|ref_end\|>(?:<\|rotate_(up|right|down|left)\|>)?([^<\n]*)")
_ANGLES = {"up": 0, "right": 90, "down": 180, "left": 270}
_CONTINUED = "txt_contd_tgt"

TABLES = frozenset({"table"})
FORMULAS = frozenset({"equation"})
UNREAD = frozenset({"image", "chart", "image_block", "equation_block"})  # pictures, and what only holds other blocks


@dataclass(frozen=True)
class Block:
    """What stands at one place of a page."""

    kind: str
    box: tuple[int, int, int, int]  # left, top, right, bottom, in parts of SCALE
    angle: int = 0  # degrees that it has to be turned by against the clock to stand upright
    continued: bool = False  # it goes on with the text of the block before


@dataclass(frozen=True)
class Ask:
    prompt: str
    presence_penalty: float
    frequency_penalty: float


LAYOUT = Ask("\nLayout Detection:", 0.0, 0.0)
TEXT = Ask("\nText Recognition:", 1.0, 0.05)
TABLE = Ask("\nTable Recognition:", 1.0, 0.005)
FORMULA = Ask("\nFormula Recognition:", 1.0, 0.05)


def read_layout(answer: str) -> list[Block]:
    """The blocks in the model's order, which is that of reading. Boxes without an area, or beyond the page, are no
    blocks.
    """
    blocks = []
    for left, top, right, bottom, kind, turned, tail in _BLOCK.findall(answer):
        box = int(left), int(top), int(right), int(bottom)
        if box[0] < box[2] <= SCALE and box[1] < box[3] <= SCALE:
            blocks.append(Block(kind, box, _ANGLES.get(turned, 0), _CONTINUED in tail))
    return blocks


def to_read(blocks: Sequence[Block]) -> Mapping[int, Ask]:
    """What is asked about which block, by its index. Lists whose items are blocks too are read item by item."""
    holders = {"list"} if any(block.kind == "list_item" for block in blocks) else set()
    return {
        index: TABLE if block.kind in TABLES else FORMULA if block.kind in FORMULAS else TEXT
        for index, block in enumerate(blocks)
        if block.kind not in UNREAD | holders
    }
