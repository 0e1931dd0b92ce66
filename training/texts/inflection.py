"""English word forms, for words that follow the rules; the others bring their forms along."""

from __future__ import annotations

import re

VOWELS = "aeiou"
SOUNDS_LIKE_CONSONANT = re.compile(r"u(?:ni|se|su|ti|to|ku|ru)|eu|one\b|ewe|once", re.IGNORECASE)
SILENT_H = re.compile(r"hour|honest|heir|honour", re.IGNORECASE)
ARTICLE = re.compile(r"\b([Aa])n? (?=(\w+))")


def plural(noun: str) -> str:
    if "/" in noun:
        return noun.split("/")[1]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("ato", "go")) else "s")


def singular(noun: str) -> str:
    return noun.split("/")[0]


def base(verb: str) -> str:
    return verb.split("/")[0].rstrip("+")


def third(verb: str) -> str:
    """He … the form of the present."""
    first, _, particle = base(verb).partition("_")
    return _joined(plural(first), particle)


def past(verb: str) -> str:
    return verb.split("/")[1] if "/" in verb else _regular(verb, "ed")


def participle(verb: str) -> str:
    return verb.split("/")[2] if "/" in verb else _regular(verb, "ed")


def progressive(verb: str) -> str:
    doubled = (
        verb if "/" not in verb else base(verb) + ("+" if re.search(r"^[^aeiou]*[aeiou][tnp]$", base(verb)) else "")
    )
    return _regular(doubled, "ing")


def with_article(text: str) -> str:
    """The same text, with `a` and `an` as the following words sound."""
    return ARTICLE.sub(_article, text)


def _article(found: re.Match[str]) -> str:
    article, word = found[1], found[2]
    vowel = word[0] in "aeiouAEIOUÉ8" and not SOUNDS_LIKE_CONSONANT.match(word)
    return article + ("n " if vowel or SILENT_H.match(word) else " ")


def _regular(verb: str, ending: str) -> str:
    first, _, particle = verb.partition("_")
    if first.endswith("+"):
        first = first[:-1] + first[-2]
    elif first.endswith("e") and not (ending == "ing" and first.endswith(("ee", "oe", "ye"))):
        first = first[:-1]
    elif ending == "ed" and first.endswith("y") and first[-2] not in VOWELS:
        first = first[:-1] + "i"
    return _joined(first + ending, particle)


def _joined(first: str, particle: str) -> str:
    return f"{first}_{particle}" if particle else first
