"""Running text: lines that fill their measure, with words cut at their ends or not."""

from __future__ import annotations

import random

from training.render.setting import Setting, choose, taken
from training.render.typeset import Align, set_line, shown, text_of, typeset, width_of
from training.samples import Pixels
from training.world import World

_VOWELS = frozenset("aeiouyAEIOUY")


def flowing(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """A paragraph or a piece of one."""
    setting = choose(rng, world)
    lines = min(setting.most_lines, max(2, round(rng.expovariate(1 / 5))), 26)
    characters = round(lines * setting.width / max(1.0, width_of(setting.face, setting.size, "average") / 7))
    text = shown(setting.face, world.texts.paragraph(rng, characters))
    if rng.random() < 0.35:  # a block that begins in the middle of a paragraph
        cut = text.split()
        text = " ".join(cut[rng.randrange(max(1, len(cut) // 3)) :])
    indent = rng.choice((0, 0, 0, 1, 2)) * setting.size if setting.align in ("left", "justified") else 0
    if rng.random() < 0.3:
        broken = hyphenated(setting, text, indent, lines)
        if broken:
            return _with_hyphens(rng, setting, broken, indent)
    paper = setting.paper(round(lines * setting.leading * setting.size) + setting.size)
    drawn = typeset(
        paper, text, setting.face, setting.size, setting.left, setting.top, setting.width, setting.leading,
        setting.align, setting.ink, indent, lines,
    )  # fmt: skip
    said = text_of(text, [line.text for line in drawn])
    return taken(rng, setting, paper, [line.box for line in drawn]), said


def _with_hyphens(
    rng: random.Random, setting: Setting, broken: list[tuple[str, bool]], indent: int
) -> tuple[Pixels, str]:  # fmt: skip
    paper = setting.paper(round(len(broken) * setting.leading * setting.size) + setting.size)
    boxes = []
    for index, (line, _) in enumerate(broken):
        x, room = (setting.left + indent, setting.width - indent) if index == 0 else (setting.left, setting.width)
        y = setting.top + round(index * setting.leading * setting.size)
        last = index == len(broken) - 1
        align: Align = "left" if last and setting.align == "justified" else setting.align
        boxes.append(set_line(paper, line, setting.face, setting.size, x, y, room, align, setting.ink).box)
    return taken(rng, setting, paper, boxes), joined(broken)


def joined(broken: list[tuple[str, bool]]) -> str:
    """What lines say of which some end with a hyphen that belongs to no word."""
    return "".join(line[:-1] if cut else f"{line} " for line, cut in broken).strip()


def hyphenated(setting: Setting, text: str, indent: int, most: int) -> list[tuple[str, bool]]:
    """Lines, and whether each ends in the middle of a word. Stops before a word that is longer than a line."""
    face, size = setting.face, setting.size
    lines: list[tuple[str, bool]] = []
    left = text.split()
    while left and len(lines) < most:
        room = setting.width - (0 if lines else indent)
        begun = list(left)
        line: list[str] = []
        while left and width_of(face, size, " ".join([*line, left[0]])) <= room:
            line.append(left.pop(0))
        cut = None
        if left and len(lines) + 1 < most:
            word = left[0]
            places = (n for n in range(len(word) - 3, 1, -1) if _may_be_cut(word, n))
            cut = next((n for n in places if width_of(face, size, " ".join([*line, f"{word[:n]}-"])) <= room), None)
        if cut is not None:
            line.append(f"{left[0][:cut]}-")
            left[0] = left[0][cut:]
        if not line:
            left = begun
            break
        lines.append((" ".join(line), cut is not None))
    if lines and lines[-1][1]:  # what follows is longer than a line: the word would never be whole
        return []
    return lines


def _may_be_cut(word: str, place: int) -> bool:
    """Between syllables, roughly: before a consonant, with a vowel on both sides."""
    letters = word.rstrip(".,;:!?")
    if not letters.isalpha() or letters[place - 1 :].isupper() or len(letters) - place < 3:
        return False
    before, after = letters[:place], letters[place:]
    return after[0] not in _VOWELS and bool(_VOWELS & set(before)) and bool(_VOWELS & set(after))
