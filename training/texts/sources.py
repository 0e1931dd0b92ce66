"""Where the prose comes from, and how each package's files become plain sentences.

Trained on:
- sqlite3-doc: SQLite's documentation, public domain.
- postgresql-doc-15: PostgreSQL's manual, PostgreSQL Licence (permissive).
- apache2-doc: the manual of Apache httpd in English, Apache Licence 2.0.
- wordnet-base: definitions and example sentences of WordNet 3.0, WordNet Licence (permissive).
- r-cran-janeaustenr: Jane Austen's Emma, Mansfield Park, Pride and Prejudice, Sense and Sensibility; public domain.
Held out:
- python-django-doc: Django's topic guides, how-tos and questions, BSD.
- dict-devil: Ambrose Bierce's Devil's Dictionary (1911), public domain.
- r-cran-janeaustenr: Northanger Abbey and Persuasion, public domain.
"""

from __future__ import annotations

import gzip
import html
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.fonts import BEYOND_ASCII
from training.world import Split

LONGEST, SHORTEST = 330, 18  # characters of a sentence
ALLOWED = frozenset(map(chr, range(32, 127))) | frozenset(BEYOND_ASCII)
PARAGRAPH = re.compile(
    r"<(?:p|dd)\b[^>]*>(.*?)(?=</?(?:p|dd|div|pre|ul|ol|table|h\d|blockquote|section|dl)\b)", re.DOTALL
)
TAG = re.compile(r"<[^>]*>")
SPACES = re.compile(r"\s+")
SENTENCE_END = re.compile(r"(?<=[.!?])([\"”’)]?)\s+(?=[\"“‘(]?[A-Z])")
ABBREVIATION = re.compile(r"\b(?:Mrs?|Dr|St|Messrs|Esq|etc|e\.g|i\.e|cf|vs|No|Vol|[A-Z])\.$")
UNFIT = re.compile(
    r"offens|dispar|slur|vulgar|obscen|sexual|ethnic|deroga|genital|copula|whore|rape|_|\\", re.IGNORECASE
)
PARAGRAPHS_HEAD = re.compile(r"^[A-Z][A-Z' -]+, ")


@dataclass(frozen=True)
class Source:
    """Of about `characters`, taken in pieces from everywhere in it."""

    package: str
    split: Split
    characters: int
    paragraphs: Callable[[Path], Iterator[str]]


def html_files(*patterns: str) -> Callable[[Path], Iterator[str]]:
    def paragraphs(root: Path) -> Iterator[str]:
        for pattern in patterns:
            for path in sorted(root.glob(pattern)):
                for found in PARAGRAPH.finditer(path.read_text(encoding="utf-8", errors="replace")):
                    yield html.unescape(TAG.sub("", found[1]))

    return paragraphs


def wordnet(root: Path) -> Iterator[str]:
    """`lemma: definition.` and the examples, each made to look like a sentence."""
    for part in ("noun", "verb", "adj", "adv"):
        lines = (root / f"usr/share/wordnet/data.{part}").read_text(encoding="latin-1").splitlines()
        for line in lines:
            if line.startswith(" ") or UNFIT.search(gloss := line.partition(" | ")[2]):
                continue
            lemma = line.split(" ")[4].partition("(")[0].replace("_", " ")
            definition, *examples = [piece.strip(" ;") for piece in gloss.replace(";", '"').split('"')]
            yield f"{lemma[:1].upper()}{lemma[1:]}: {definition}."
            yield from (f"{e[:1].upper()}{e[1:]}{'' if e[-1:] in '.!?' else '.'}" for e in examples if e.count(" ") > 3)


def austen(*novels: str) -> Callable[[Path], Iterator[str]]:
    def paragraphs(root: Path) -> Iterator[str]:
        database = next(root.rglob("janeaustenr/data/Rdata.rdb")).read_bytes()
        for value in _r_values(database):
            lines = _r_strings(value)
            if lines and lines[0].strip().upper() in novels:
                yield from (part.replace("--", "—") for part in "\n".join(lines).split("\n\n"))

    return paragraphs


def devils_dictionary(root: Path) -> Iterator[str]:
    with gzip.open(next(root.rglob("devil.dict.dz")), "rt", encoding="utf-8", errors="replace") as file:
        for part in file.read().split("\n\n"):
            if not part.startswith("    "):  # verse
                yield part.replace("--", "—")


DJANGO_PARTS = ("topics", "howto", "faq")
SOURCES = (
    Source("sqlite3-doc", "train", 1_400_000, html_files("usr/share/doc/sqlite3/*.html")),
    Source("postgresql-doc-15", "train", 1_800_000, html_files("usr/share/doc/postgresql-doc-15/html/*.html")),
    Source("apache2-doc", "train", 900_000, html_files("usr/share/doc/apache2-doc/manual/en/**/*.html")),
    Source("wordnet-base", "train", 1_600_000, wordnet),
    Source("r-cran-janeaustenr", "train", 1_300_000,
           austen("EMMA", "MANSFIELD PARK", "PRIDE AND PREJUDICE", "SENSE AND SENSIBILITY")),
    Source("python-django-doc", "held-out", 1_000_000,
           html_files(*(f"usr/share/doc/python-django-doc/html/{part}/**/*.html" for part in DJANGO_PARTS))),
    Source("dict-devil", "held-out", 400_000, devils_dictionary),
    Source("r-cran-janeaustenr", "held-out", 500_000, austen("NORTHANGER ABBEY", "PERSUASION")),
)  # fmt: skip


def read_source(source: Source, root: Path) -> list[str]:
    """Its sentences in order. `root`: the package, unpacked."""
    pieces = [sentences for part in source.paragraphs(root) if (sentences := clean_sentences(part))]
    every = max(1, sum(len(s) for piece in pieces for s in piece) / source.characters)
    chosen = [
        piece for place, piece in enumerate(pieces) if int(place / every) != int((place - 1) / every) or place == 0
    ]
    return list(dict.fromkeys(sentence for piece in chosen for sentence in piece))


def clean_sentences(paragraph: str) -> list[str]:
    """Those of a paragraph that are whole and of characters that fonts have."""
    text = SPACES.sub(" ", paragraph).strip().replace("…", "...").replace("\u00a0", " ")
    whole: list[str] = []
    start = 0
    for end in SENTENCE_END.finditer(text):
        piece = text[start : end.end(1)]
        if not ABBREVIATION.search(piece):
            whole.append(piece)
            start = end.end()
    whole.append(text[start:])
    return [sentence for sentence in map(_tidy, whole) if _fits(sentence)]


def _tidy(sentence: str) -> str:
    return PARAGRAPHS_HEAD.sub("", sentence.strip()).replace("_", "") if sentence.count("_") > 1 else sentence.strip()


def _fits(sentence: str) -> bool:
    if not SHORTEST <= len(sentence) <= LONGEST or UNFIT.search(sentence):
        return False
    letters = sum(c.isalpha() or c == " " for c in sentence)
    return (
        ALLOWED.issuperset(sentence)
        and letters > 0.8 * len(sentence)
        and sentence.rstrip('"”’)')[-1:] in (".", "!", "?")
        and (sentence[0].isupper() or sentence[0] in '"“‘(')
        and " ." not in sentence
        and " ," not in sentence
    )


def _r_values(database: bytes) -> Iterator[bytes]:
    """The values of R's lazy-load database: each is its size in four bytes and a zlib stream."""
    place = 0
    while place + 4 < len(database):
        stream = zlib.decompressobj()
        yield stream.decompress(database[place + 4 :])
        place = len(database) - len(stream.unused_data)


def _r_strings(value: bytes) -> list[str]:
    """The strings of a character vector in R's binary form: flags ending in 09, a length, and the bytes."""
    strings = []
    place = value.find(b"\x00\x00\x00\x10") + 8
    while 8 <= place <= len(value) - 8 and value[place + 3] == 9:
        length = int.from_bytes(value[place + 4 : place + 8], "big")
        strings.append(value[place + 8 : place + 8 + length].decode("utf-8", errors="replace"))
        place += 8 + length
    return strings
