"""Sentences from templates: `{name}` in one stands for a word, a figure, or another template.

`{Name}` is the same with a capital, `{NAME}` with nothing else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

Say = Callable[[random.Random], str]
SLOT = re.compile(r"\{([A-Za-z_.]+)\}")


def one_of(words: Sequence[str]) -> Say:
    count = len(words)
    return lambda rng: words[int(rng.random() * count)]


def capital(text: str) -> str:
    """With a capital in front."""
    return text[:1].upper() + text[1:]


def read_rules(table: str) -> dict[str, tuple[str, ...]]:
    """`name:` stands alone on a line, and what it may become on the indented lines below."""
    rules: dict[str, list[str]] = {}
    name = ""
    for line in table.strip().splitlines():
        if line.startswith(" "):
            rules[name].append(line.strip())
        else:
            name = line.rstrip(":")
            rules[name] = []
    return {name: tuple(lines) for name, lines in rules.items()}


class Grammar:
    """Compiled once, so that a sentence costs one call and one random number for each slot."""

    def __init__(self, rules: Mapping[str, Sequence[str]], terminals: Mapping[str, Say]) -> None:
        """Raises: ValueError naming a slot that nothing fills."""
        self._terminals = terminals
        self._compiled: dict[str, list[list[str | Say]]] = {name: [] for name in rules}
        for name, lines in rules.items():
            self._compiled[name] += [self._parts(line) for line in lines]

    def say(self, rng: random.Random, name: str) -> str:
        options = self._compiled[name]
        parts = options[int(rng.random() * len(options))]
        return "".join([part if isinstance(part, str) else part(rng) for part in parts])

    def _parts(self, line: str) -> list[str | Say]:
        pieces = SLOT.split(line)  # literal, name, literal, name, …, literal
        parts = [piece if place % 2 == 0 else self._filler(piece) for place, piece in enumerate(pieces)]
        return [part for part in parts if part != ""]

    def _filler(self, name: str) -> Say:
        if name.isupper():
            in_small = self._filler(name.lower())
            return lambda rng: in_small(rng).upper()
        if name[0].isupper():
            small = self._filler(name[0].lower() + name[1:])
            return lambda rng: capital(small(rng))
        if name in self._compiled:
            return lambda rng: self.say(rng, name)
        if name not in self._terminals:
            raise ValueError(f"a template has the slot {{{name}}}, which no rule and no list of words fills")
        return self._terminals[name]
