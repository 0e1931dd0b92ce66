"""Prose that people wrote, sentence by sentence in its own order: what `python -m training.texts` fetched."""

from __future__ import annotations

import lzma
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from training.world import Split

FILES: dict[Split, str] = {"train": "train.txt.xz", "held-out": "held-out.txt.xz"}


class TextsMissing(Exception):
    """Says how to fetch them."""


@dataclass(frozen=True)
class Prose:
    sentences: tuple[str, ...]

    def run(self, rng: random.Random, characters: int) -> str:
        """Sentences that stand one after the other, of about so many characters, from anywhere."""
        sentences, place = self.sentences, int(rng.random() * len(self.sentences))
        taken, length = [sentences[place]], len(sentences[place])
        while True:
            place = (place + 1) % len(sentences)
            longer = length + 1 + len(sentences[place])
            if longer - characters > characters - length:
                return " ".join(taken)
            taken.append(sentences[place])
            length = longer

    def one(self, rng: random.Random) -> str:
        return self.sentences[int(rng.random() * len(self.sentences))]


@cache
def load_prose(directory: Path, split: Split) -> Prose:
    """Raises: TextsMissing."""
    path = directory / FILES[split]
    if not path.is_file():
        raise TextsMissing(f"{path} is missing; fetch the texts with: python -m training.texts {directory}")
    return Prose(tuple(lzma.decompress(path.read_bytes()).decode().splitlines()))
