"""How far an answer is from what was asked for. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upright.cli.parse.protocol import Block
from upright.cli.parse.tables import grid_of


def edit_distance(one: str, other: str) -> int:
    """Characters to insert, delete or replace (Levenshtein), by bit vectors (Myers 1999; Hyyrö's form of 2003)."""
    if not one:
        return len(other)
    places: dict[str, int] = {}
    for index, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << index
    whole = (1 << len(one)) - 1
    last = 1 << (len(one) - 1)
    rising, falling, distance = whole, 0, len(one)
    for character in other:
        equal = places.get(character, 0)
        carried = (((equal & rising) + rising) ^ rising) | equal | falling
        up = falling | ~(carried | rising) & whole
        down = rising & carried
        distance += bool(up & last) - bool(down & last)
        up = (up << 1 | 1) & whole
        rising = (down << 1 | ~(carried | up)) & whole
        falling = up & carried
    return distance


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def matches(found: Sequence[Block], expected: Sequence[Block], least: float = 0.5) -> int:
    """Blocks of the same kind that overlap by `least`, each counted once, the best overlaps first."""
    pairs = sorted(
        (
            (-overlap(ours.box, theirs.box), index, number)
            for index, ours in enumerate(found)
            for number, theirs in enumerate(expected)
            if ours.kind == theirs.kind and overlap(ours.box, theirs.box) >= least
        ),
    )
    taken: tuple[set[int], set[int]] = set(), set()
    for _, index, number in pairs:
        if index not in taken[0] and number not in taken[1]:
            taken[0].add(index)
            taken[1].add(number)
    return len(taken[0])


def cells_of(otsl: str) -> Mapping[tuple[int, int], tuple[str, str]]:
    """By row and column of a table: what kind of cell stands there, and its text."""
    return {(y, x): cell for y, row in enumerate(grid_of(otsl)) for x, cell in enumerate(row)}
