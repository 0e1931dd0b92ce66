"""What stands in a single line of print."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

from training.world import World

LONGEST = 110  # characters
FEW = 14

_COUNTS = ((1, 2, 3, 4, 5, 6, 8, 10, FEW), (24, 17, 13, 11, 10, 9, 7, 5, 4))  # of characters, and how often
_PRINTABLE = string.ascii_letters + 2 * string.digits + string.punctuation


def words(rng: random.Random, world: World) -> str:
    """A piece of a sentence as a rule, or anything else that is printed; single spaces, never empty."""
    kinds, weights = zip(*_KINDS, strict=True)
    text = " ".join(rng.choices(kinds, weights)[0](rng, world).split())
    if rng.random() < 0.05:
        text = text.upper()
    if len(text) > LONGEST:
        text = text[: LONGEST + 1].rpartition(" ")[0] or text[:LONGEST]
    return text or "1"


def few_letters(rng: random.Random, world: World) -> str:
    """At most FEW characters, and often one: letters come before their order. Most are such as nobody could guess, so
    that there is nothing to learn from them but to read.
    """
    count = rng.choices(*_COUNTS)[0]
    if rng.random() < 0.6:
        return "".join(rng.choices(_PRINTABLE, k=count))
    text = words(rng, world)
    begin = rng.randrange(len(text))
    return text[begin : begin + count].strip() or text[:1]


def _piece(rng: random.Random, world: World) -> str:
    """Cut out of a paragraph as lines break it: anywhere between words."""
    found = world.texts.paragraph(rng, 220).split()
    count = rng.randint(1, 14)
    begin = rng.randrange(max(1, len(found) - count + 1))
    return " ".join(found[begin : begin + count])


def _number(rng: random.Random, world: World) -> str:
    amount = world.texts.amount(rng, 0.5, 10 ** rng.uniform(0.5, 6))
    return rng.choice((
        f"{amount:,.2f}", f"${amount:,.2f}", f"£{amount:,.2f}", f"€ {amount:.2f}", f"{amount:.2f} EUR",
        f"{amount:,.0f}", f"({amount:,.1f})", f"{amount % 100:.1f}%", f"{rng.randrange(10**6):06d}",
        f"{rng.randrange(1000)} / {rng.randrange(1000)}", f"-{amount % 1000:.3f}", f"{rng.randrange(100)}",
    ))  # fmt: skip


def _letters(text: str, between: str = "") -> str:
    """What of a name may stand in an address of the web."""
    parts = ("".join(c for c in part.lower() if c.isascii() and c.isalnum()) for part in text.split())
    return between.join(part for part in parts if part) or "x"


def _host(rng: random.Random, world: World) -> str:
    name = _letters(rng.choice((world.texts.company, world.texts.word))(rng), rng.choice(("", "-")))
    return f"{name}.{rng.choice(('com', 'org', 'net', 'co.uk', 'de', 'eu', 'io', 'info'))}"


def _email(rng: random.Random, world: World) -> str:
    name = _letters(rng.choice((world.texts.person, world.texts.word))(rng), rng.choice((".", "_", "")))
    digits = str(rng.randrange(1000)) if rng.random() < 0.2 else ""
    return f"{name}{digits}@{_host(rng, world)}"


def _site(rng: random.Random, world: World) -> str:
    begin = rng.choice(("www.", "https://", "http://www.", ""))
    path = "".join(f"/{_letters(world.texts.word(rng))}" for _ in range(rng.choice((0, 0, 1, 2))))
    return f"{begin}{_host(rng, world)}{path}"


def _phone(rng: random.Random, world: World) -> str:
    form = rng.choice(("(0##) ###-####", "+## ### ### ####", "0## #### ####", "###-###-####", "+1 ###.###.####"))
    return "".join(str(rng.randrange(10)) if character == "#" else character for character in form)


def _short(rng: random.Random, world: World) -> str:
    texts = world.texts
    drawn = rng.randrange(8)
    if drawn == 0:
        return _number(rng, world)
    return (texts.word, texts.code, texts.code, texts.date, texts.person, texts.company, texts.product)[drawn - 1](rng)


def _several(rng: random.Random, world: World) -> str:
    """A few short things side by side, as in a line of a form or a list."""
    parts = [_short(rng, world) for _ in range(rng.randint(2, 4))]
    return rng.choice(("  ", ", ", " - ", ": ", " / ", " | ")).join(parts)


def _labelled(rng: random.Random, world: World) -> str:
    """What a thing is, and how much or which."""
    label = world.texts.word(rng).capitalize() if rng.random() < 0.6 else world.texts.title(rng)
    value = rng.choice((_short, _number, _phone, _email))(rng, world)
    return f"{label}{rng.choice((': ', ': ', ' ', ' - ', ' = ', ' No. '))}{value}"


def _random(rng: random.Random, world: World) -> str:
    """Characters that no language model can guess."""
    alphabet = rng.choice(("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", "abcdefghijklmnopqrstuvwxyz", "0123456789",
                           "!#$%&()*+,-./:;<=>?@[]_{}~abcXYZ019"))  # fmt: skip
    return " ".join("".join(rng.choices(alphabet, k=rng.randint(1, 8))) for _ in range(rng.randint(1, 4)))


_KINDS: tuple[tuple[Callable[[random.Random, World], str], float], ...] = (
    (_piece, 44), (lambda rng, world: world.texts.title(rng), 8), (lambda rng, world: world.texts.sentence(rng), 5),
    (_short, 12), (_several, 7), (_number, 5), (_random, 6), (_labelled, 4), (_email, 1.5), (_site, 1.5), (_phone, 1),
    (lambda rng, world: rng.choice(world.texts.address(rng)), 3), (lambda rng, world: world.texts.word(rng), 2),
)  # fmt: skip
