"""Texts of one split: generated sentences, and between them prose that people wrote, where it was fetched."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.texts import figures, templates_held_out, templates_train
from training.texts.figures import MONTHS, WEEKDAYS, filled, one
from training.texts.grammar import Grammar, Say, capital, one_of, read_rules
from training.texts.inflection import with_article
from training.texts.names import Names
from training.texts.prose import Prose, load_prose
from training.texts.vocabulary import vocabulary
from training.world import Split

# Of sentences and of paragraphs; the rest is generated. There are but 2 MB of prose: of more of it in training, much
# would be known by heart before it is read.
PROSE_SHARE: dict[Split, float] = {"train": 0.25, "held-out": 0.42}
STRAIGHT = str.maketrans("“”‘’—–", "\"\"''--")
CURLY = str.maketrans({"'": "’"})
PUNCTUATION = ".,;:!?()[]\"“”‘’'—–-"
SMALL_WORDS = frozenset(
    ("a", "an", "the", "of", "and", "or", "in", "on", "to", "for", "with", "from", "about", "by", "at")
)


@dataclass(frozen=True)
class EnglishTexts:
    """Implements Texts. Everything that it says is a function of the generator alone."""

    split: Split
    prose: Prose | None = None
    names: Names = field(init=False, repr=False)
    grammar: Grammar = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = Names(self.split, vocabulary(self.split))
        rules = read_rules((templates_train if self.split == "train" else templates_held_out).RULES)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "grammar", Grammar(rules, _terminals(names)))

    @classmethod
    def load(cls, directory: Path | None, split: Split) -> EnglishTexts:
        """With the prose of a directory that `python -m training.texts` made. Raises: TextsMissing."""
        return cls(split, load_prose(directory, split) if directory is not None else None)

    def word(self, rng: random.Random) -> str:
        """A common word, a made-up one, or now and then a name or an abbreviation."""
        draw = rng.random()
        if draw < 0.3 and self.prose is not None:
            return one(rng, tuple(self.prose.one(rng).split())).strip(PUNCTUATION) or self.names.made_up_word(rng)
        if draw < 0.55:
            forms = self.names.words.forms
            return one(rng, forms[one(rng, ("role", "device", "adj", "abstract", "food", "nature", "part", "process"))])
        if draw < 0.85:
            return self.names.made_up_word(rng)
        if draw < 0.95:
            return self.names.last(rng)
        return filled(rng, one(rng, ("@@@", "@@", "@@@@")))

    def title(self, rng: random.Random) -> str:
        words = with_article(self.grammar.say(rng, "title")).split()
        if not 2 <= len(words) <= 8:
            words = [*words, one(rng, self.names.words.forms["process"])][:8]
            while words[-1] in SMALL_WORDS:  # where the cut left one at the end
                words[-1] = self.names.made_up_word(rng)
        draw = rng.random()
        if draw < 0.15:
            return " ".join(words).upper()
        if draw < 0.55:
            return capital(" ".join(words))
        return capital(" ".join([word if word in SMALL_WORDS else capital(word) for word in words]))

    def sentence(self, rng: random.Random) -> str:
        if self.prose is not None and rng.random() < PROSE_SHARE[self.split]:
            return _styled(self.prose.one(rng), rng.random())
        return _styled(self._generated(rng), rng.random())

    def paragraph(self, rng: random.Random, characters: int) -> str:
        style = rng.random()
        if self.prose is not None and rng.random() < PROSE_SHARE[self.split]:
            return _styled(self.prose.run(rng, characters), style)
        taken = [self._generated(rng)]
        length = len(taken[0])
        while length < characters:
            sentence = self._generated(rng)
            if length + 1 + len(sentence) - characters > characters - length:
                break
            taken.append(sentence)
            length += 1 + len(sentence)
        return _styled(" ".join(taken), style)

    def code(self, rng: random.Random) -> str:
        return figures.code(rng)

    def person(self, rng: random.Random) -> str:
        return self.names.person(rng)

    def company(self, rng: random.Random) -> str:
        return self.names.company(rng)

    def address(self, rng: random.Random) -> tuple[str, ...]:
        return self.names.address(rng)

    def product(self, rng: random.Random) -> str:
        return self.names.product(rng)

    def date(self, rng: random.Random) -> str:
        return figures.date(rng)

    def amount(self, rng: random.Random, least: float, most: float) -> float:
        return figures.amount(rng, least, most)

    def email(self, rng: random.Random) -> str:
        return figures.email(rng, self.names.first(rng), self.names.last(rng), self.names.site)

    def url(self, rng: random.Random) -> str:
        return figures.url(rng, self.names.site)

    def phone(self, rng: random.Random) -> str:
        return figures.phone(rng)

    def _generated(self, rng: random.Random) -> str:
        return capital(with_article(self.grammar.say(rng, "sentence")))


def _styled(text: str, draw: float) -> str:
    """The same quotation marks throughout: most typewriters and programs have only the straight ones."""
    if draw < 0.5:
        return text.translate(STRAIGHT)
    return text.translate(CURLY) if draw < 0.8 else text


def _terminals(names: Names) -> Mapping[str, Say]:
    words = names.words

    def title_name(rng: random.Random) -> str:
        return capital(names.made_up_word(rng)) if rng.random() < 0.3 else names.last(rng)

    terminals: dict[str, Say] = {form: one_of(listed) for form, listed in words.forms.items()}
    return terminals | {
        "done": one_of(words.forms["doc_verb.done"]),
        "product.s": one_of(words.forms["device.s"] + words.forms["part.s"]),
        "person": names.person,
        "first": names.first,
        "last": names.last,
        "company": names.company,
        "product": names.product,
        "city": names.city,
        "country": one_of(words.countries),
        "word": names.made_up_word,
        "name": title_name,
        "number": figures.whole,
        "decimal": figures.decimal,
        "money": figures.money,
        "percent": figures.percentage,
        "date": figures.date,
        "year": figures.year,
        "time": figures.clock,
        "month": one_of(MONTHS),
        "weekday": one_of(WEEKDAYS),
        "ordinal": lambda rng: figures.ordinal(1 + int(rng.random() * 40)),
        "section": figures.section,
        "citation": figures.citation,
        "measure": figures.measure,
        "phone": figures.phone,
        "email": lambda rng: figures.email(rng, names.first(rng), names.last(rng), names.site),
        "url": lambda rng: figures.url(rng, names.site),
        "code": figures.code,
        "code_short": lambda rng: filled(
            rng, one(rng, ("!000", "@#", "@!00", "!##", "!.#", "II", "III", "@@-!#", "20!#"))
        ),
    }
