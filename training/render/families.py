"""Families of layouts. Those that are held out share none of their arrangements with the others."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

_PROSE = {"text": 80, "heading": 14, "list": 6}


@dataclass(frozen=True)
class Family:
    """What pages of a kind have in common; shares and chances are of one."""

    name: str
    widths: tuple[int, ...] = (1,)  # of columns, to each other
    elements: Mapping[str, float] = field(default_factory=lambda: dict(_PROSE))
    size: tuple[float, float] = (1.3, 1.8)  # of the type, in hundredths of the page's width
    lines: float = 5  # of a paragraph, on average
    title: float = 0.3
    header: float = 0.5
    footer: float = 0.3
    number: float = 0.6
    footnotes: float = 0.1
    across: float = 0.0  # chance that something stands across all columns and breaks them
    short: float = 0.1  # chance that a column or the page ends early
    wide: bool = False


TRAIN = (
    Family("report", elements=_PROSE),
    Family("report with figures", elements=_PROSE | {"image": 14, "table": 10}, title=0.4),
    Family("paper", (1, 1), {"text": 74, "heading": 12, "list": 4, "image": 6, "equation": 4}, (1.15, 1.45), 7, 0.5,
           footnotes=0.25),
    Family("paper with tables", (1, 1), {"text": 66, "heading": 12, "table": 12, "image": 6}, (1.15, 1.45), 6),
    Family("newsletter", (1, 1, 1), {"text": 76, "heading": 14, "image": 10}, (1.1, 1.35), 6, 0.8, 0.4),
    Family("letter", elements={"text": 96, "list": 4}, size=(1.5, 2.0), lines=4, title=0.0, header=0.3, number=0.2,
           short=0.6),
    Family("book", elements={"text": 94, "heading": 4, "equation": 2}, size=(1.6, 2.3), lines=8, title=0.1, header=0.8,
           number=0.9),
    Family("slides", elements={"heading": 26, "list": 48, "image": 16, "text": 10}, size=(1.9, 2.8), lines=2, title=0.9,
           header=0.1, short=0.5, wide=True),
    Family("tables", elements={"table": 52, "text": 28, "heading": 20}, lines=2, title=0.5),
    Family("manual", elements={"list": 40, "heading": 24, "text": 30, "image": 6}, lines=3),
    Family("title page", elements={"text": 60, "image": 40}, size=(1.8, 2.8), lines=2, title=1.0, header=0.2,
           short=0.9),
    Family("references", elements={"list": 70, "text": 24, "heading": 6}, size=(1.1, 1.5), lines=3),
    Family("two unequal columns", (2, 1), _PROSE | {"image": 10}, (1.2, 1.6), 5),
    Family("equations", elements={"text": 68, "equation": 22, "heading": 10}, lines=4),
)  # fmt: skip
# What flows through columns in a family of no name, and how much of it there may be.
_MOST = {"text": 100, "heading": 60, "list": 60, "image": 50, "table": 30, "equation": 20}
_WIDTHS = ((1,), (1,), (1, 1), (1, 1), (1, 1, 1), (2, 1), (3, 2), (2, 3))
HELD_OUT = (
    Family("something across two columns", (1, 1), {"text": 80, "heading": 14, "list": 6}, (1.15, 1.5), 6, 0.5,
           across=1.0),
    Family("narrow column at the left", (1, 3), {"text": 70, "heading": 16, "list": 8, "image": 6}, (1.2, 1.6), 4),
    Family("questions and answers", elements={"heading": 48, "text": 52}, lines=3, title=0.6, size=(1.4, 2.1)),
    Family("catalogue", (1, 1, 1, 1), {"image": 62, "text": 38}, (1.1, 1.4), 2, 0.7, 0.6),
)  # fmt: skip


def of_chance(rng: random.Random) -> Family:
    """One of no name, so that what is learnt does not hang on what pages of a name have in common."""
    widths = rng.choice(_WIDTHS)
    shares = {kind: most * rng.random() ** 2 for kind, most in _MOST.items()}
    shares["text"] += 10
    smallest = rng.uniform(1.05, 1.35) if len(widths) > 1 else rng.uniform(1.1, 2.0)
    return Family(
        "of chance", widths, shares, (smallest, smallest * rng.uniform(1.1, 1.4)), rng.uniform(1.5, 8),
        title=rng.random(), header=rng.random(), footer=rng.random(), number=rng.random(), footnotes=0.3 * rng.random(),
        short=0.6 * rng.random(), wide=len(widths) > 1 and rng.random() < 0.15,
    )  # fmt: skip
