"""The words of a split by what they stand for, in every form that templates ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from training.texts import inflection, vocabulary_held_out, vocabulary_train
from training.world import Split

Words = tuple[str, ...]
VERBS = ("doc_verb", "device_verb", "abstract_verb", "up", "down")
UNINFLECTED = ("adj", "adverb", "industry", "unit", "material")
NOUN_FORMS: dict[str, Callable[[str], str]] = {"": inflection.singular, ".s": inflection.plural}
VERB_FORMS: dict[str, Callable[[str], str]] = {
    "": inflection.base,
    ".s": inflection.third,
    ".past": inflection.past,
    ".done": inflection.participle,
    ".ing": inflection.progressive,
}


@dataclass(frozen=True)
class Vocabulary:
    """`forms`: as templates name them, such as `role`, `role.s` and `doc_verb.past`."""

    forms: dict[str, Words]
    first_names: Words
    last_names: Words
    company_stems: Words
    company_trades: Words
    company_endings: Words
    cities: Words
    countries: Words
    streets: Words
    street_endings: Words
    regions: Words
    districts: Words
    product_adjectives: Words
    products: Words


@cache
def vocabulary(split: Split) -> Vocabulary:
    return _read(vocabulary_train if split == "train" else vocabulary_held_out)


def _read(module: ModuleType) -> Vocabulary:
    def listed(name: str) -> Words:
        return tuple(word.replace("_", " ") for word in getattr(module, name).split())

    endings: str = module.COMPANY_ENDINGS
    return Vocabulary(
        forms=_forms(module.WORDS),
        first_names=listed("FIRST_NAMES"),
        last_names=listed("LAST_NAMES"),
        company_stems=listed("COMPANY_STEMS"),
        company_trades=listed("COMPANY_TRADES"),
        company_endings=tuple(part.replace("_", " ") for part in endings.replace("& ", "&_").split()),
        cities=listed("CITIES"),
        countries=listed("COUNTRIES"),
        streets=listed("STREETS"),
        street_endings=listed("STREET_ENDINGS"),
        regions=listed("REGIONS"),
        districts=listed("DISTRICTS"),
        product_adjectives=listed("PRODUCT_ADJECTIVES"),
        products=listed("PRODUCTS"),
    )


def _forms(table: str) -> dict[str, Words]:
    forms: dict[str, Words] = {}
    for entry in table.replace("\n ", " ").strip().splitlines():
        name, _, words = entry.partition(":")
        inflected = VERB_FORMS if name in VERBS else {"": inflection.singular} if name in UNINFLECTED else NOUN_FORMS
        for suffix, form in inflected.items():
            forms[name + suffix] = tuple(form(word).replace("_", " ") for word in words.split())
    return forms
