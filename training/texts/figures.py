"""Figures as documents write them: numbers, dates, sums of money, codes, and what people type into forms."""

from __future__ import annotations

import calendar
import datetime
import random
import unicodedata
from collections.abc import Callable

from training.texts.grammar import Say

MONTHS = tuple(calendar.month_name[1:])
WEEKDAYS = tuple(calendar.day_name)
FIRST_DAY = datetime.date(1961, 1, 1)
RECENT_DAY = datetime.date(2012, 1, 1)
LAST_DAY = datetime.date(2032, 12, 31)
CURRENCIES = ("$", "$", "$", "€", "€", "£", "£", "US$", "CHF ", "EUR ", "USD ", "GBP ", "C$", "A$", "kr ")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SAFE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
HEX = "0123456789abcdef"
ALPHABETS = {"#": "0123456789", "@": LETTERS, "*": LETTERS + "0123456789", "$": SAFE_LETTERS + "23456789", "~": HEX,
             "^": HEX.upper(), "%": "abcdefghijklmnopqrstuvwxyz", "!": "123456789"}  # fmt: skip
# What each sign stands for is above; anything else stands for itself.
CODES = (
    "@@-#####", "@@@-####-@", "!######", "########", "##########", "#### #### #### ####",
    "@@## #### #### #### ####", "@@## @@@@ #### #### #### ##", "***-***-***", "$$$$$-$$$$$-$$$$$-$$$$$",
    "$$$$-$$$$-$$$$", "SN ########", "S/N: @@####@##", "SN-***-*****", "~~~~~~~~", "~~~~~~~~-~~~~-~~~~",
    "0x^^^^^^", "^^:^^:^^:^^:^^:^^", "@#-###/##", "@@@####", "@@ ### ###", "#-###-#####-#", "978-#-###-#####-#",
    "INV-####-###", "ORD#######", "PO-######", "PO ####/##", "REF: ****-****", "No. #####", "#####-###",
    "@###-@@##", "@@@@@@@@", "@@@@ @@ ##", "##-##-##", "v!.##.#", "#.#.###-rc#", "@@!###@", "@-!##/####",
    "#######-#", "@@# #@@", "*******", "********", "*****-**", "%%%-####", "%%##%%##", "ART. ###.###.##",
    "P/N ##-####-###", "@@@@##XXX", "#### ####", "T-######", "#######@", "@@#########@@", "#/##/###-@",
    "LOT @####", "KD-!####-20##", "ID-~~~~~~", "1Z ^^^ ### ## #### ### #", "##@@@##", "@####-####", "****_****",
    "@@.###.@##", "#####*", "(##)##########", "*** *** ***",
)  # fmt: skip
PHONES = ("(!##) ###-####", "+1 !## ### ####", "+44 20 #### ####", "+44 !### ######", "+49 !# ########", "!##-###-####",
          "0!## ### ####", "0!### ######", "+33 ! ## ## ## ##", "!##.###.####", "+41 ## ### ## ##", "0## #### ####",
          "1-800-###-####", "###-####")  # fmt: skip
TOP_LEVELS = ("com", "com", "com", "org", "net", "co.uk", "de", "io", "eu", "info", "edu", "gov", "ca", "com.au")
PATHS = (
    "",
    "",
    "/",
    "/{}",
    "/{}/",
    "/{}.html",
    "/{}/{}",
    "/{}?id=#####",
    "/{}#!",
    "/20##/{}",
    "/files/{}.pdf",
    "/{}-{}",
)
LARGE = ("million", "billion", "thousand", "m", "bn", "million")
MEASURES = ("kg", "g", "mg", "km", "m", "cm", "mm", "l", "ml", "kW", "kWh", "MW", "V", "A", "Hz", "MHz", "GB", "MB",
            "°C", "°F", "km/h", "mph", "psi", "bar", "dB", "lb", "oz", "in", "ft", "ms", "min", "h")  # fmt: skip
DateForm = Callable[[datetime.date], str]
DATE_FORMS: tuple[DateForm, ...] = (
    lambda d: f"{MONTHS[d.month - 1]} {d.day}, {d.year}",
    lambda d: f"{d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{d.year}-{d.month:02}-{d.day:02}",
    lambda d: f"{d.month:02}/{d.day:02}/{d.year}",
    lambda d: f"{d.day:02}/{d.month:02}/{d.year}",
    lambda d: f"{d.day:02}.{d.month:02}.{d.year}",
    lambda d: f"{d.day}.{d.month}.{d.year}",
    lambda d: f"{d.month}/{d.day}/{d.year % 100:02}",
    lambda d: f"{d.day:02}-{MONTHS[d.month - 1][:3]}-{d.year}",
    lambda d: f"{d.day} {MONTHS[d.month - 1][:3]} {d.year}",
    lambda d: f"{MONTHS[d.month - 1][:3]} {d.day}, {d.year}",
    lambda d: f"{MONTHS[d.month - 1][:3]}. {d.day}, {d.year}",
    lambda d: f"{WEEKDAYS[d.weekday()]}, {d.day} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{WEEKDAYS[d.weekday()]}, {MONTHS[d.month - 1]} {d.day}, {d.year}",
    lambda d: f"{WEEKDAYS[d.weekday()][:3]} {d.day:02} {MONTHS[d.month - 1][:3]} {d.year}",
    lambda d: f"{d.day:02} {MONTHS[d.month - 1][:3].upper()} {d.year}",
    lambda d: f"{ordinal(d.day)} {MONTHS[d.month - 1]} {d.year}",
    lambda d: f"{d.year}/{d.month:02}/{d.day:02}",
    lambda d: f"{d.day:02}-{d.month:02}-{d.year}",
    lambda d: f"{d.day:02}/{d.month:02}/{d.year % 100:02}",
)


def filled(rng: random.Random, pattern: str) -> str:
    """Each sign of ALPHABETS replaced by one of its characters."""
    get = ALPHABETS.get
    return "".join([a[int(rng.random() * len(a))] if (a := get(sign)) else sign for sign in pattern])


def one(rng: random.Random, options: tuple[str, ...]) -> str:
    return options[int(rng.random() * len(options))]


def code(rng: random.Random) -> str:
    """Of a fixed form two times in three, otherwise of any letters and digits."""
    if rng.random() < 0.67:
        return filled(rng, one(rng, CODES))
    groups = [one(rng, ("*", "#", "@", "$", "#", "^")) * rng.randrange(2, 6) for _ in range(rng.randrange(1, 4))]
    return filled(rng, one(rng, ("-", "-", "/", " ", "", ".", "_")).join(groups)) + filled(rng, "*#")


def day(rng: random.Random) -> datetime.date:
    """Mostly of the last years."""
    first = RECENT_DAY if rng.random() < 0.8 else FIRST_DAY
    return first + datetime.timedelta(days=int(rng.random() * (LAST_DAY - first).days))


def date(rng: random.Random) -> str:
    return DATE_FORMS[int(rng.random() * len(DATE_FORMS))](day(rng))


def ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def amount(rng: random.Random, least: float, most: float) -> float:
    """In whole cents, of every magnitude alike; half of them are prices as shops like them. Raises: ValueError."""
    low, high = round(least * 100), round(most * 100)
    if low > high:
        raise ValueError(f"there is no amount between {least} and {most}")
    span = max(low, 1)
    cents = span * (max(high, 1) / span) ** rng.random() if low >= 0 else rng.uniform(low, high)
    draw = rng.random()
    if draw < 0.5:
        cents = cents // 100 * 100 + (99, 95, 50, 0, 0)[int(draw * 10)]
    return min(max(round(cents), low), high) / 100


def whole(rng: random.Random) -> str:
    """Two or more, to seven digits; small ones more often."""
    number = 1 + int(10 ** (rng.random() * (3 if rng.random() < 0.7 else 7)))
    return f"{number:,}" if rng.random() < 0.7 else str(number)


def decimal(rng: random.Random) -> str:
    return f"{10 ** (rng.random() * 4 - 1):.{1 + int(rng.random() * 3)}f}"


def money(rng: random.Random) -> str:
    value = amount(rng, 1, 10 ** rng.randrange(1, 7))
    draw = rng.random()
    if draw < 0.2:
        return f"{one(rng, CURRENCIES)}{1 + rng.random() * 98:.1f} {one(rng, LARGE)}"
    if draw < 0.35:
        return f"{value:,.2f} {one(rng, ('euros', 'EUR', 'USD', 'dollars', 'pounds', 'GBP', 'CHF', '€'))}"
    return f"{one(rng, CURRENCIES)}{value:,.{0 if draw < 0.55 else 2}f}"


def percentage(rng: random.Random) -> str:
    value = 10 ** (rng.random() * 2)
    text = f"{value:.1f}" if rng.random() < 0.5 else f"{value:.0f}"
    return text + one(rng, ("%", "%", "%", " %", " per cent", " percent"))


def clock(rng: random.Random) -> str:
    hour, minute = int(rng.random() * 24), int(rng.random() * 12) * 5
    if rng.random() < 0.5:
        return f"{hour:02}:{minute:02}"
    return f"{hour % 12 or 12}:{minute:02}" + one(rng, (" a.m.", " AM", "am") if hour < 12 else (" p.m.", " PM", "pm"))


def section(rng: random.Random) -> str:
    name = one(rng, ("Section ", "section ", "§ ", "§", "Chapter ", "Table ", "Figure ", "Fig. ", "Annex ", "Clause "))
    return name + filled(rng, one(rng, ("!", "!.!", "!.!.!", "!#", "!(%)", "B", "D", "!.!#")))


def citation(rng: random.Random) -> str:
    return filled(rng, one(rng, ("[!]", "[!#]", "[!##]", "[!, !#]", "[!-!]", "[!#–!#]")))


def measure(rng: random.Random) -> str:
    draw = rng.random()
    number = decimal(rng) if draw < 0.5 else whole(rng) if draw < 0.95 else filled(rng, "!½")
    return number + one(rng, (" ", " ", "")) + one(rng, MEASURES)


def phone(rng: random.Random) -> str:
    return filled(rng, one(rng, PHONES))


def year(rng: random.Random) -> str:
    return str(1900 + int(rng.random() * 135))


def domain(rng: random.Random, word: Say) -> str:
    name = _slug(word(rng))
    if rng.random() < 0.4:
        name += one(rng, ("-", "")) + _slug(word(rng))
    return f"{name}.{one(rng, TOP_LEVELS)}"


def email(rng: random.Random, first: str, last: str, word: Say) -> str:
    first, last = _slug(first), _slug(last)
    local = one(rng, ("{0}.{1}", "{0}.{1}", "{1}", "{0}", "{2}{1}", "{0}_{1}", "info", "sales", "{0}{3}", "office"))
    return f"{local.format(first, last, first[:1], filled(rng, '##'))}@{domain(rng, word)}"


def url(rng: random.Random, word: Say) -> str:
    start = one(rng, ("https://", "https://www.", "http://www.", "www.", "www.", ""))
    path = one(rng, PATHS)
    while "{}" in path:
        path = path.replace("{}", _slug(word(rng)), 1)
    return start + domain(rng, word) + filled(rng, path)


def _slug(word: str) -> str:
    plain = word if word.isascii() else unicodedata.normalize("NFKD", word)
    return "".join([letter for letter in plain.lower() if letter.isascii() and letter.isalnum()])
