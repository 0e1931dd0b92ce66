"""What was bought, in whole cents: the sums hold."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.render import values
from training.world import World

_RATES = (4.0, 5.0, 6.0, 6.5, 7.0, 7.25, 8.0, 8.25, 8.875, 10.0, 13.0, 19.0, 20.0, 21.0)


@dataclass(frozen=True)
class Item:
    name: str
    quantity: int
    unit: int

    @property
    def amount(self) -> int:
        return self.quantity * self.unit


@dataclass(frozen=True)
class Sale:
    """`total` = `subtotal` - `discount` + `tax` + `tip`; with `included` the tax is a part of the subtotal instead."""

    items: tuple[Item, ...]
    discount: int
    rate: float  # of the tax, per cent
    included: bool
    tip: int

    @property
    def subtotal(self) -> int:
        return sum(item.amount for item in self.items)

    @property
    def tax(self) -> int:
        base = self.subtotal - self.discount
        return round(base * self.rate / (100 + self.rate if self.included else 100))

    @property
    def total(self) -> int:
        return self.subtotal - self.discount + self.tip + (0 if self.included else self.tax)

    @property
    def percent(self) -> str:
        return f"{self.rate:g}%"


def product(rng: random.Random, world: World, longest: int) -> str:
    """Of at most so many characters; the first words of one that is longer."""
    name = world.texts.product(rng)
    for _ in range(6):
        if len(name) <= longest:
            return name
        name = world.texts.product(rng)
    words = name.split()
    while len(words) > 1 and len(" ".join(words)) > longest:
        words.pop()
    return " ".join(words)[:longest].rstrip()


def sale(
    rng: random.Random, world: World, count: int, least: float, most: float, longest: int, served: bool = False
) -> Sale:
    """`count` different things at prices between `least` and `most`. `served`: there may be a tip."""
    items: dict[str, Item] = {}
    for _ in range(count * 3):
        name = product(rng, world, longest)
        if len(items) < count and name.lower() not in items:
            quantity = 1 if rng.random() < 0.6 else rng.choice((2, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12))
            items[name.lower()] = Item(name, quantity, values.cents(rng, world, least, most))
    subtotal = sum(item.amount for item in items.values())
    discount = round(subtotal * rng.choice((5, 10, 15)) / 100) if rng.random() < 0.12 else 0
    tip = round(subtotal * rng.uniform(0.05, 0.22)) if served and rng.random() < 0.5 else 0
    return Sale(tuple(items.values()), discount, rng.choice(_RATES), rng.random() < 0.3, tip)
