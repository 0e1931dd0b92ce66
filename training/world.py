"""What documents are made of: fonts and texts, of which some are never trained on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import ImageFont

Split = Literal["train", "held-out"]
FontKind = Literal["body", "display", "mono", "any"]


class Face(Protocol):
    """A font file."""

    @property
    def name(self) -> str: ...

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """In pixels an em."""
        ...

    def shows(self, text: str) -> bool:
        """Whether it draws all of a text."""
        ...

    def __hash__(self) -> int: ...


class Fonts(Protocol):
    def pick(self, rng: random.Random, kind: FontKind = "any") -> Face:
        """One that has all printable ASCII."""
        ...

    def styled(self, face: Face, bold: bool, italic: bool) -> Face:
        """The same family in that style; `face` itself where there is none."""
        ...


class Texts(Protocol):
    """Printable English: ASCII, and now and then curly quotes, dashes, bullets, £, €, §, ©, °, ½ and accents."""

    def word(self, rng: random.Random) -> str: ...

    def title(self, rng: random.Random) -> str:
        """Two to eight words, without a full stop."""
        ...

    def sentence(self, rng: random.Random) -> str: ...

    def paragraph(self, rng: random.Random, characters: int) -> str:
        """Whole sentences of about so many characters, one line."""
        ...

    def code(self, rng: random.Random) -> str:
        """What cannot be guessed: a serial number, an identifier, a part of random letters and digits."""
        ...

    def person(self, rng: random.Random) -> str: ...

    def company(self, rng: random.Random) -> str: ...

    def address(self, rng: random.Random) -> tuple[str, ...]:
        """Two to four lines."""
        ...

    def product(self, rng: random.Random) -> str: ...

    def date(self, rng: random.Random) -> str:
        """In one of many forms."""
        ...

    def amount(self, rng: random.Random, least: float, most: float) -> float:
        """Of money, in whole cents."""
        ...


@dataclass(frozen=True)
class World:
    split: Split
    fonts: Fonts
    texts: Texts
