"""Names and addresses of people, firms and goods. One in four is made of syllables, so that no list can be learnt."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.texts.figures import filled, one
from training.texts.syllables import pseudo_name, pseudo_word
from training.texts.vocabulary import Vocabulary
from training.world import Split

TITLES = ("Mr. ", "Mr ", "Mrs. ", "Mrs ", "Ms. ", "Ms ", "Dr. ", "Dr ", "Prof. ")
MADE_UP = 0.25
PRODUCT_SIZES = ("##0g", "!kg", "!00ml", "@#", "@@-##", "!L", "#0cm", "!#0 W", "@##0", "(!pk)", "!x!#", "!.#L", "No. !",
                 "XL", "!#\"", "(@)")  # fmt: skip


@dataclass(frozen=True)
class Names:
    split: Split
    words: Vocabulary

    def first(self, rng: random.Random) -> str:
        return self._or_made_up(rng, self.words.first_names, MADE_UP / 2)

    def last(self, rng: random.Random) -> str:
        return self._or_made_up(rng, self.words.last_names, 2 * MADE_UP)

    def city(self, rng: random.Random) -> str:
        if rng.random() < MADE_UP:
            ending = one(
                rng, ("ton", "ville", "ford", "burg", "field", "stad", " Falls", " Beach", "ham", "by", "port")
            )
            return pseudo_name(rng, self.split) + ending
        return one(rng, self.words.cities)

    def person(self, rng: random.Random) -> str:
        """First and last name, now and then with an initial, a second name, or a title."""
        first, last = self.first(rng), self.last(rng)
        draw = rng.random()
        if draw < 0.62:
            return f"{first} {last}"
        if draw < 0.72:
            return filled(rng, f"{first} @. {last}")
        if draw < 0.8:
            return one(rng, TITLES) + last
        if draw < 0.86:
            return f"{one(rng, TITLES)}{first} {last}"
        if draw < 0.92:
            return filled(rng, f"@. {last}") if draw < 0.89 else filled(rng, f"@.@. {last}")
        return f"{first} {last}-{self.last(rng)}" if draw < 0.96 else f"{first} {self.first(rng)} {last}"

    def company(self, rng: random.Random) -> str:
        words = self.words
        draw = rng.random()
        if draw < 0.2:
            return f"{self.last(rng)} {one(rng, ('&', 'and'))} {self.last(rng)}" + self._ending(rng, 0.4)
        if draw < 0.3:
            return (
                filled(rng, "@@@" if draw < 0.25 else "@&@")
                + " "
                + one(rng, words.company_trades)
                + self._ending(rng, 0.7)
            )
        stem = one(rng, words.company_stems) if rng.random() < 0.6 else pseudo_name(rng, self.split)
        if draw < 0.4:
            return stem + self._ending(rng, 1)
        if draw < 0.5:
            stem = self.last(rng) + ("'s" if draw < 0.46 else "")
        elif draw < 0.58:
            stem = self.city(rng)
        elif draw < 0.66:
            stem = f"{stem} {one(rng, words.company_stems)}"
        return f"{stem} {one(rng, words.company_trades)}" + self._ending(rng, 0.5)

    def product(self, rng: random.Random) -> str:
        words = self.words
        product = one(rng, words.products)
        draw = rng.random()
        if draw < 0.45:
            product = f"{one(rng, words.product_adjectives)} {product}"
        elif draw < 0.55:
            product = f"{pseudo_name(rng, self.split)} {product}"
        if rng.random() < 0.3:
            product += " " + filled(rng, one(rng, PRODUCT_SIZES))
        return product

    def street(self, rng: random.Random) -> str:
        """With a house number."""
        name = pseudo_name(rng, self.split) if rng.random() < MADE_UP else one(rng, self.words.streets)
        number = filled(rng, one(rng, ("!", "!#", "!##", "!###", "!#@", "!#-!#")))
        return f"{number} {name} {one(rng, self.words.street_endings)}"

    def address(self, rng: random.Random) -> tuple[str, ...]:
        lines = [self.street(rng)]
        draw = rng.random()
        if draw < 0.15:
            lines.append(
                filled(rng, one(rng, ("Suite !##", "Apt. !@", "Unit !#", "Floor !", "P.O. Box !###", "Building @")))
            )
        elif draw < 0.22:
            lines.insert(
                0, f"{pseudo_name(rng, self.split)} {one(rng, ('House', 'Court', 'Building', 'Centre', 'Park'))}"
            )
        lines.append(self._town(rng))
        if rng.random() < 0.35:
            country = one(rng, self.words.countries).removeprefix("the ")
            lines.append(country.upper() if rng.random() < 0.3 else country)
        return tuple(lines)

    def _town(self, rng: random.Random) -> str:
        city = self.city(rng)
        draw = rng.random()
        if draw < 0.45:
            return filled(rng, f"{city}, {one(rng, self.words.regions)} #####" + ("-####" if draw < 0.07 else ""))
        if draw < 0.7:
            return filled(rng, f"{city} {one(rng, self.words.districts)}") + filled(rng, "! !@@")
        return filled(rng, one(rng, ("##### ", "#### ", "@-#### ", "#### @@ "))) + city

    def _ending(self, rng: random.Random, chance: float) -> str:
        if rng.random() >= chance:
            return ""
        ending = one(rng, self.words.company_endings)
        return f", {ending}" if ending in ("Inc.", "Inc", "LLC", "Ltd.") and rng.random() < 0.3 else f" {ending}"

    def _or_made_up(self, rng: random.Random, listed: tuple[str, ...], chance: float) -> str:
        return pseudo_name(rng, self.split) if rng.random() < chance else one(rng, listed)

    def site(self, rng: random.Random) -> str:
        """A part of a web address."""
        return one(rng, self.words.company_stems) if rng.random() < 0.4 else pseudo_name(rng, self.split)

    def made_up_word(self, rng: random.Random) -> str:
        return pseudo_word(rng, self.split)
