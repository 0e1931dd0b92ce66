"""What a document says, beside what it looks like: the values that one may ask for, and the names to ask by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from training.samples import Pixels

TOKENS = 1100  # of a picture, at most
CELL = 28  # pixels of a picture's side that make one token


@dataclass(frozen=True)
class Field:
    """A value exactly as printed; one of several lines has line breaks. `label` is what is printed beside it, if any.

    `kind` says what sort of thing it is, so that questions can be put in other words than its names.
    """

    kind: str
    value: str
    names: tuple[str, ...]
    label: str = ""


@dataclass(frozen=True)
class Document:
    """`fields` by their first names. `lines` of one column, top to bottom; empty where the reading order is open."""

    kind: str  # as one would call it: "receipt", "boarding pass"
    layout: str
    fields: dict[str, Field]
    lines: tuple[str, ...]
    pixels: Pixels


def tokens(width: int, height: int) -> int:
    """What a picture of so many pixels costs."""
    return -(-width // CELL) * -(-height // CELL)


def are_clear(fields: Iterable[Field]) -> bool:
    """Whether every question by name or by label has one answer, and no two answers could be taken for each other."""
    fields = list(fields)
    asked = Counter(name.lower() for field in fields for name in {*field.names, *filter(None, [field.label])})
    doubled = {name for name, count in asked.items() if count > 1}
    doubled -= {field.label.lower() for field in fields if field.label.lower() in map(str.lower, field.names)}
    names = Counter(name.lower() for field in fields for name in field.names)
    labels = Counter(field.label.lower() for field in fields if field.label)
    values = Counter(field.value for field in fields if not field.kind.startswith("item"))
    return not doubled and all(max(counts.values(), default=1) == 1 for counts in (names, labels, values))
