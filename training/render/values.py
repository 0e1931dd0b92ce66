"""Values that nobody could guess, and the manner in which one document prints them."""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass
from datetime import date, timedelta

from training.world import World

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
DATE_FORMS = ("{d} {month} {y}", "{d} {month} {y}", "{month} {d}, {y}", "{d} {mon} {y}", "{mon} {d}, {y}",
              "{dd}/{mm}/{y}", "{dd}/{mm}/{y}", "{mm}/{dd}/{y}", "{dd}.{mm}.{y}", "{y}-{mm}-{dd}", "{dd}-{mm}-{y}",
              "{dd}/{mm}/{yy}", "{dd}.{mm}.{yy}", "{dd}-{mon}-{y}", "{mon}. {d}, {y}", "{dd} {MON} {y}")  # fmt: skip
SIGNS = ("$", "$", "$", "£", "£", "€", "€")
CODES = ("USD", "EUR", "GBP", "CHF", "CAD", "AUD")

_STARTS = ("Ash", "Bran", "Cal", "Dun", "Elm", "Far", "Glen", "Hal", "Iver", "Kings", "Lang", "Mar", "North", "Oak",
           "Pem", "Quen", "Ros", "Stan", "Thorn", "Ux", "Wal", "West", "Yar", "New")  # fmt: skip
_ENDS = ("bridge", "bury", "by", "combe", "dale", "don", "ford", "gate", "ham", "leigh", "mouth", "port", "stead",
         "stone", "ton", "ville", "wick", "wood", "worth", "field")  # fmt: skip


@dataclass(frozen=True)
class Manner:
    """How one document writes money, dates and hours, so that all of it is of one piece."""

    before: str  # the amount, such as "$" or "EUR "
    behind: str
    thousands: str
    date_form: str
    half_days: bool
    bare_items: bool  # whether only the sums carry the currency

    def money(self, cents: int) -> str:
        return f"{self.before}{self.number(cents)}{self.behind}"

    def item(self, cents: int) -> str:
        return self.number(cents) if self.bare_items else self.money(cents)

    def number(self, cents: int) -> str:
        whole, rest = divmod(cents, 100)
        return f"{whole:,}".replace(",", self.thousands) + f".{rest:02d}"

    def date(self, day: date) -> str:
        month = MONTHS[day.month - 1]
        return self.date_form.format(
            d=day.day, dd=f"{day.day:02d}", mm=f"{day.month:02d}", month=month, mon=month[:3], MON=month[:3].upper(),
            y=day.year, yy=f"{day.year % 100:02d}",
        )  # fmt: skip

    def hour(self, minutes: int) -> str:
        hour, minute = divmod(minutes, 60)
        if self.half_days:
            return f"{(hour + 11) % 12 + 1}:{minute:02d} {'AM' if hour < 12 else 'PM'}"
        return f"{hour:02d}:{minute:02d}"


def manner(rng: random.Random, signs: bool = True) -> Manner:
    """`signs`: whether the fonts have £ and €."""
    sign = rng.choice(SIGNS) if signs else "$"
    code = rng.choice(CODES)
    before, behind = rng.choice(
        ((sign, ""), (sign, ""), (sign, ""), (f"{sign} ", ""), ("", ""), ("", ""), (f"{code} ", ""), ("", f" {code}"))
    )
    return Manner(
        before, behind, rng.choice((",", ",", ",", "")), rng.choice(DATE_FORMS), rng.random() < 0.4, rng.random() < 0.6
    )


def day(rng: random.Random, first: int = 1995, last: int = 2029) -> date:
    return date(first, 1, 1) + timedelta(rng.randrange((last - first + 1) * 365))


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.ascii_uppercase, k=count))


def patterned(rng: random.Random, pattern: str) -> str:
    """Where # is a digit, @ a capital and * either."""
    chances = {"#": string.digits, "@": string.ascii_uppercase, "*": string.digits + string.ascii_uppercase}
    return "".join(rng.choice(chances[sign]) if sign in chances else sign for sign in pattern)


def phone(rng: random.Random) -> str:
    return patterned(rng, rng.choice((
        "(###) ###-####", "###-###-####", "+1 ### ### ####", "+44 20 #### ####", "0### ### ####", "01### ######",
        "+49 ### #######", "### ### ###", "###.###.####", "+## ## ### ## ##", "020 #### ####",
    )))  # fmt: skip


def iban(rng: random.Random) -> str:
    plain = letters(rng, 2) + digits(rng, 2) + rng.choice(("", letters(rng, 4))) + digits(rng, rng.choice((12, 14, 16)))
    return " ".join(plain[at : at + 4] for at in range(0, len(plain), 4)) if rng.random() < 0.8 else plain


def city(rng: random.Random) -> str:
    return rng.choice(_STARTS) + rng.choice(_ENDS)


def first_name(rng: random.Random, world: World) -> str:
    return _bare(world.texts.person(rng).split())[0]


def last_name(rng: random.Random, world: World) -> str:
    return _bare(world.texts.person(rng).split())[-1]


def _bare(names: list[str]) -> list[str]:
    """Without titles and initials, where anything else is left."""
    return [name for name in names if not name.endswith(".") and name not in _TITLES] or names


_TITLES = frozenset({"Mr", "Mrs", "Ms", "Miss", "Dr", "Prof", "Sir", "Dame", "Lord", "Lady", "Rev", "Jr", "Sr"})
_CODE = re.compile(r"[@#:]|\d{4}|\d[A-Za-z]|[A-Za-z]\d|\d-\d|[A-Z]{4}")


def is_prose(text: str) -> bool:
    """Whether nothing in it could be taken for the value of a field, such as a code or an address of mail."""
    return _CODE.search(text) is None


def plain_word(rng: random.Random, world: World) -> str:
    """Small letters only, for addresses of mail and of the web."""
    for _ in range(20):
        word = "".join(letter for letter in world.texts.word(rng).lower() if letter in string.ascii_lowercase)
        if 3 <= len(word) <= 9:
            return word
    return "".join(rng.choices(string.ascii_lowercase, k=6))


def email(rng: random.Random, world: World) -> str:
    user = rng.choice(("{a}.{b}", "{a}", "{a}{n}", "{a}_{b}", "info", "office", "{a}-{b}"))
    user = user.format(a=plain_word(rng, world), b=plain_word(rng, world), n=rng.randrange(2, 99))
    return f"{user}@{website(rng, world)}"


def website(rng: random.Random, world: World) -> str:
    words = plain_word(rng, world) + (plain_word(rng, world) if rng.random() < 0.3 else "")
    return f"{words}.{rng.choice(('com', 'org', 'net', 'co.uk', 'eu', 'io', 'info'))}"


def cents(rng: random.Random, world: World, least: float, most: float) -> int:
    return round(world.texts.amount(rng, least, most) * 100)
