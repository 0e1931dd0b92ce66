"""A document laid out but not drawn yet."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.render.fields import TOKENS, Field, are_clear, tokens
from training.render.sheets import Sheet, are_apart
from training.world import World


@dataclass(frozen=True)
class Draft:
    kind: str
    layout: str
    sheet: Sheet
    fields: tuple[Field, ...]
    lines: tuple[str, ...] = ()

    @property
    def printed(self) -> list[str]:
        return [ink.text for ink in self.sheet.inks]

    @property
    def is_sound(self) -> bool:
        """Whether it fits into a picture, all of it is on the sheet, and no question about it has two answers."""
        sheet = self.sheet
        if not self.fields or sheet.height < 48 or tokens(sheet.width, sheet.height) > TOKENS:
            return False
        boxes = [ink.box for ink in sheet.inks]
        inside = all(
            left >= 2 and top >= 0 and right <= sheet.width - 2 and bottom <= sheet.height - 2
            for left, top, right, bottom in boxes
        )
        shown = all(ink.type.shows(ink.text) for ink in sheet.inks)
        return inside and shown and are_clear(self.fields) and are_apart(boxes)


Layout = Callable[[random.Random, World], Draft]
