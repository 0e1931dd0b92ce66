"""A document laid out but not drawn yet."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.render.fields import TOKENS, Field, are_clear, tokens
from training.render.sheets import Sheet
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
        inside = all(
            ink.x >= 2
            and ink.y >= 0
            and ink.x + ink.type.width(ink.text) <= sheet.width - 2
            and ink.y + ink.type.height <= sheet.height + 2
            for ink in sheet.inks
        )
        shown = all(ink.type.shows(ink.text) for ink in sheet.inks)
        return inside and shown and are_clear(self.fields)


Layout = Callable[[random.Random, World], Draft]
