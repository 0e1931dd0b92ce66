"""Questions about a document, put into words, and their answers."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.dialogues.phrases import BY_LABEL, CHOICE, COMPOSED, ENDINGS, FRAMES, ITEMS, SPECIAL, SYSTEMS
from training.render.fields import Document, Field
from training.render.kinds import KINDS, is_alone, is_surely_missing
from training.samples import Turn
from training.world import Split, World

MISSING = "It is not there."

# Of kinds that only some documents have, and that are asked for where they are not.
_MORE_NAMES: dict[str, tuple[str, ...]] = {
    "total": ("total", "total amount"), "subtotal": ("subtotal",), "tax": ("tax", "amount of tax"),
    "tip": ("tip", "gratuity"), "discount": ("discount",), "change": ("change", "change given"),
    "cash": ("cash given",), "due": ("due date",), "invoice_number": ("invoice number",),
    "receipt_number": ("receipt number",), "vat_number": ("VAT number",), "cashier": ("cashier",),
    "table": ("table number",), "card": ("card number",), "code": ("access code",), "password": ("password",),
    "guests": ("number of guests",), "method": ("payment method",), "recipient": ("recipient",), "shop": ("shop",),
}  # fmt: skip
_ASKED_FOR = {kind: found.names for kind, found in KINDS.items()} | _MORE_NAMES


@dataclass(frozen=True)
class Asked:
    """`field` is None where the document does not have it. `name`: what was asked for, with its article."""

    question: str
    answer: str
    name: str
    field: Field | None


def phrasings(kind: str, split: Split) -> tuple[str, ...]:
    """The sentences for fields of a kind that need no label."""
    if kind in ITEMS:
        return ITEMS[kind][split]
    if kind == "choice":
        return CHOICE[split]
    return FRAMES[split] + SPECIAL.get(kind, {}).get(split, ()) + (COMPOSED if split == "train" else ())


def _framed(rng: random.Random, split: Split) -> str:
    return rng.choice(COMPOSED if split == "train" and rng.random() < 0.5 else FRAMES[split])


def ask_for(rng: random.Random, document: Document, field: Field, split: Split) -> Asked:
    """That field, by a name, by its label, or by a sentence that only its kind has."""
    alone = is_alone(field.kind, frozenset(other.kind for other in document.fields.values()))
    special = SPECIAL.get(field.kind, {}).get(split, ()) if alone else ()
    name = rng.choice(field.names)
    if field.kind == "choice" or field.kind in ITEMS:
        sentence = rng.choice(phrasings(field.kind, split))
    elif field.label and (field.kind == "other" or rng.random() < 0.2):
        sentence = rng.choice(BY_LABEL[split])
    elif special and rng.random() < 0.35:
        sentence = rng.choice(special)
    else:
        sentence = _framed(rng, split)
    return Asked(
        _worded(rng, sentence, document.kind, name, field.label, split), field.value, _article(field, name), field
    )


def ask_missing(rng: random.Random, document: Document, world: World) -> Asked:
    """Something that surely is not on it."""
    split = world.split
    bought = {name.lower() for field in document.fields.values() if field.kind == "item_price" for name in field.names}
    thing = world.texts.product(rng)
    if bought and rng.random() < 0.2 and not any(thing.lower() in name or name in thing.lower() for name in bought):
        sentence = rng.choice(phrasings("item_price", split))
        return Asked(_worded(rng, sentence, document.kind, thing, "", split), MISSING, f"the price of {thing}", None)
    present = frozenset(field.kind for field in document.fields.values())
    names = {name.lower() for field in document.fields.values() for name in (*field.names, field.label)}
    absent = [
        kind for kind, asked in _ASKED_FOR.items()
        if is_surely_missing(kind, present)
        and not names & {name.lower() for name in asked}
        and not (document.kind in ("letter", "note") and kind in _IN_PROSE)
    ]  # fmt: skip
    kind = rng.choice(absent)
    name = rng.choice(_ASKED_FOR[kind])
    special = SPECIAL.get(kind, {}).get(split, ())
    plain = not special or rng.random() < 0.75 or kind in _VAGUE
    sentence = _framed(rng, split) if plain else rng.choice(special)
    return Asked(_worded(rng, sentence, document.kind, name, name, split), MISSING, f"the {name}", None)


# What sentences mention by chance.
_IN_PROSE = frozenset({"name", "first_name", "last_name", "date", "time", "amount", "price", "total", "company", "shop",
                       "city", "venue", "origin", "destination", "occupation", "department", "doctor", "contact",
                       "employer", "bank", "fee", "rent", "deposit", "income", "issued", "start", "end", "due",
                       "expiry", "nationality", "weight", "height", "hours", "address", "postcode", "subject", "cash",
                       "subtotal", "passenger", "payer", "payee", "cashier", "recipient", "departure", "arrival",
                       "birth_place", "birth", "service", "train", "model", "tax", "discount"})  # fmt: skip
# Their sentences fit other fields as well ("How much is it?"), so what is missing is asked for by its name.
_VAGUE = frozenset({"amount", "price", "name", "date", "time", "total", "shop", "recipient", "code", "origin", "phone",
                    "destination", "venue", "seat", "expiry", "issued", "payee", "table", "due", "subtotal", "method",
                    "cashier", "departure", "arrival", "receipt_number", "invoice_number", "weight"})  # fmt: skip


def pick(rng: random.Random, document: Document, count: int, lines: bool = True) -> list[Field]:
    """So many different fields, things that were bought less often than others. `lines`: also of several lines."""
    pool = [field for field in document.fields.values() if lines or "\n" not in field.value]
    items = [field for field in pool if field.kind.startswith("item")]
    others = [field for field in pool if not field.kind.startswith("item")]
    chosen: list[Field] = []
    while len(chosen) < count and (items or others):
        source = items if items and (not others or rng.random() < 0.2) else others
        chosen.append(source.pop(rng.randrange(len(source))))
    return chosen


def system(rng: random.Random, split: Split) -> tuple[Turn, ...]:
    return (Turn("system", rng.choice(SYSTEMS[split])),) if rng.random() < 0.5 else ()


def _article(field: Field, name: str) -> str:
    if field.kind == "item_price":
        return f"the price of {name}"
    return f"the box that is ticked at {name}" if field.kind == "choice" else f"the {name}"


def _worded(rng: random.Random, sentence: str, kind: str, name: str, label: str, split: Split) -> str:
    """Now and then with less care than one should take, or with a wish about the answer."""
    if rng.random() < (0.1 if label else 0.2):
        name = name.lower()
    filled = sentence.format(n=name, N=name[:1].upper() + name[1:], d=kind, l=label)
    if filled[-1] in ".?" and rng.random() < 0.18:
        return filled + rng.choice(ENDINGS[split])
    return filled
