"""Crops of several lines: paragraphs, lists, headings, addresses, code.

Lines that flow are joined by one space, and a word that was cut at the end of a line is whole again; what stands for
itself (an item of a list, a line of an address or of code, a heading) is a line of the answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.render.client import TEXT, sent
from training.render.degrade import degrade
from training.render.lines import CLEAN, colours, words
from training.render.phrases import READ, READ_HELD_OUT
from training.render.typeset import Align, Colour, Paper, shown, typeset, width_of, wrap
from training.samples import Pixels, Sample, Turn
from training.world import Face, FontKind, World

MOST_TOKENS = 1400  # of 28 x 28 pixels
MOST_HEIGHT = 1100  # pixels


@dataclass(frozen=True)
class _Setting:
    """How a crop is set."""

    face: Face
    size: int
    width: int
    leading: float
    align: Align
    colour: Colour


def paragraph(rng: random.Random, world: World) -> Sample:
    """What a client cuts out of a page as one block."""
    pixels, text = block(rng, world)
    return sent(rng, world, "text", TEXT, pixels, text)


def chat_read(rng: random.Random, world: World) -> Sample:
    """The same, asked for in chat."""
    pixels, text = block(rng, world)
    asked = rng.choice(READ if world.split == "train" else READ_HELD_OUT)
    return Sample("read", (Turn("user", asked, (pixels,)), Turn("assistant", text)))


def block(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """A picture of a few lines, and what it says."""
    kinds, weights = zip(*_KINDS, strict=True)
    drawn, text = rng.choices(kinds, weights)[0](rng, world)
    if rng.random() > CLEAN:
        drawn = degrade(drawn, rng, rng.uniform(0.1, 0.9))
    return drawn, text


def _setting(rng: random.Random, world: World, kind: FontKind = "body", most: int = 40) -> tuple[_Setting, Colour]:
    """And the paper's colour."""
    face = world.fonts.pick(rng, kind if rng.random() < 0.85 else "any")
    size = round(14 * (most / 14) ** rng.random() ** 1.5)
    paper, ink = colours(rng)
    width = min(1500, round(size * rng.uniform(8, 42)))
    aligns: tuple[Align, ...] = ("left", "justified", "centre", "right")
    align = rng.choices(aligns, (60, 30, 7, 3))[0]
    return _Setting(face, size, width, rng.uniform(1.15, 1.7), align, ink), paper


def _paper(setting: _Setting, colour: Colour) -> Paper:
    return Paper(setting.width + 2 * setting.size, MOST_HEIGHT + 200, colour)


def _cropped(paper: Paper, boxes: list[tuple[int, int, int, int]], rng: random.Random) -> Pixels:
    left, tops, right, bottoms = zip(*boxes, strict=True)
    x0, y0 = max(0, min(left) - rng.randint(0, 14)), max(0, min(tops) - rng.randint(0, 14))
    x1, y1 = max(right) + rng.randint(0, 14), max(bottoms) + rng.randint(0, 14)
    return np.ascontiguousarray(paper.pixels()[y0:y1, x0:x1])


def _most_lines(setting: _Setting) -> int:
    """That keep within the tokens of a picture."""
    high = min(MOST_HEIGHT, MOST_TOKENS * 28 * 28 // (setting.width + 2 * setting.size + 60) - 60)
    return max(1, int(high / (setting.size * setting.leading)))


def _flowing(rng: random.Random, world: World) -> tuple[Pixels, str]:
    setting, colour = _setting(rng, world)
    lines = min(_most_lines(setting), max(2, round(rng.expovariate(1 / 5))), 26)
    characters = round(lines * setting.width / max(1.0, width_of(setting.face, setting.size, "average") / 7))
    text = shown(setting.face, world.texts.paragraph(rng, characters))
    if rng.random() < 0.35:  # a block that begins or ends in the middle of a paragraph
        cut = text.split()
        text = " ".join(cut[rng.randrange(max(1, len(cut) // 3)) :])
    paper = _paper(setting, colour)
    indent = rng.choice((0, 0, 0, 1, 2)) * setting.size if setting.align in ("left", "justified") else 0
    if rng.random() < 0.25:
        return _hyphenated(rng, paper, setting, text, lines)
    drawn = typeset(
        paper, text, setting.face, setting.size, setting.size, setting.size, setting.width, setting.leading,
        setting.align, setting.colour, indent, lines,
    )  # fmt: skip
    return _cropped(paper, [line.box for line in drawn], rng), " ".join(line.text for line in drawn)


def _hyphenated(
    rng: random.Random, paper: Paper, setting: _Setting, text: str, most: int
) -> tuple[Pixels, str]:  # fmt: skip
    """Words that do not fit are cut after three letters or more, three before their end, and at no other sign."""
    boxes, said = [], []
    left = text.split()
    for index in range(most):
        line: list[str] = []
        whole = list(left)
        while left and width_of(setting.face, setting.size, " ".join([*line, left[0]])) <= setting.width:
            line.append(left.pop(0))
        ending = ""
        if left and left[0].isalpha() and index + 1 < most:
            word = left[0]
            cuts = [
                n
                for n in range(len(word) - 3, 2, -1)
                if width_of(setting.face, setting.size, " ".join([*line, word[:n] + "-"])) <= setting.width
            ]
            if cuts:
                ending = word[: cuts[0]]
                left[0] = word[cuts[0] :]
        if not line and not ending:
            left = whole
            break
        shown = " ".join([*line, *([ending + "-"] if ending else [])])
        y = setting.size + round(index * setting.leading * setting.size)
        boxes.append(paper.text(setting.size, y, shown, setting.face, setting.size, setting.colour))
        said.append((" ".join([*line, ending]) if ending else " ".join(line), bool(ending)))
        if not left:
            break
    if not boxes:  # not even one word fits
        word = text[:3]
        boxes.append(paper.text(setting.size, setting.size, word, setting.face, setting.size, setting.colour))
        said.append((word, False))
    answer = "".join(line if cut else line + " " for line, cut in said).strip()
    return _cropped(paper, boxes, rng), answer


def _stacked(
    rng: random.Random, setting: _Setting, colour: Colour, items: list[str], gap: float = 0.0
) -> tuple[Pixels, str]:
    """Items below each other, each of a line or more, as long as they fit: the first that does not ends the crop."""
    paper = _paper(setting, colour)
    room = _most_lines(setting)
    boxes, said = [], []
    y = setting.size
    for item in (shown(setting.face, item) for item in items):
        lines = wrap(setting.face, setting.size, item, setting.width)
        if len(lines) > room or " ".join(lines) != item:  # a word that is longer than a line has been cut
            break
        drawn = typeset(
            paper, item, setting.face, setting.size, setting.size, y, setting.width, setting.leading, setting.align,
            setting.colour,
        )  # fmt: skip
        boxes += [line.box for line in drawn]
        said.append(item)
        room -= len(lines)
        y += round((len(lines) * setting.leading + gap) * setting.size)
    if not said:
        word = items[0][:3].strip() or "1"
        boxes.append(paper.text(setting.size, y, word, setting.face, setting.size, setting.colour))
        said.append(word)
    return _cropped(paper, boxes, rng), "\n".join(said)


def _list(rng: random.Random, world: World) -> tuple[Pixels, str]:
    setting, colour = _setting(rng, world, most=30)
    mark = rng.choice(("•", "-", "–", "{}.", "{})", "({})", "[{}]", "*", "{}:"))
    begin = rng.choice((0, 0, 0, rng.randrange(20)))
    texts = world.texts
    items = []
    for index in range(rng.randint(2, 9)):
        item = rng.choice((texts.sentence, texts.title, texts.product, lambda rng: texts.paragraph(rng, 120)))(rng)
        items.append(f"{mark.format(begin + index + 1)} {item}")
    return _stacked(rng, _left(setting), colour, items, gap=rng.choice((0.0, 0.2, 0.5)))


def _address(rng: random.Random, world: World) -> tuple[Pixels, str]:
    setting, colour = _setting(rng, world)
    texts = world.texts
    lines = [rng.choice((texts.person, texts.company))(rng), *texts.address(rng)]
    if rng.random() < 0.3:
        lines.append(words(rng, world))
    return _stacked(rng, setting, colour, [" ".join(line.split()) for line in lines])


def _heading(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """Large, and of a line or two."""
    setting, colour = _setting(rng, world, "display", 64)
    text = " ".join(world.texts.title(rng).split())
    if rng.random() < 0.3:
        text = f"{rng.randint(1, 12)}{rng.choice(('', '.', f'.{rng.randint(1, 9)}'))} {text}"
    return _stacked(rng, setting, colour, [text])


def _loose(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """Lines that have nothing to do with each other, as on a label or a card."""
    setting, colour = _setting(rng, world, "any")
    return _stacked(rng, setting, colour, [words(rng, world) for _ in range(rng.randint(2, 10))])


def _code(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """Lines of a program, each kept as it is but for the spaces it begins with."""
    setting, colour = _setting(rng, world, "mono", 28)
    texts = world.texts

    def name() -> str:
        return "_".join(texts.word(rng).lower() for _ in range(rng.randint(1, 2)))

    def statement() -> str:
        return rng.choice((
            f"{name()} = {rng.randrange(1000)}", f"def {name()}({name()}, {name()}):", f"# {texts.title(rng)}",
            f"return {name()}[{rng.randrange(10)}]", f"if {name()} > {rng.randrange(100)}:", "}",
            f'print("{texts.word(rng)}")', f"for {name()} in {name()}:", f"{name()}({name()}={rng.randrange(10)})",
            f"import {name()}", f"const {name()} = {rng.randrange(100)};",
            f"{name()} += {name()} * {rng.randrange(10)};",
        ))  # fmt: skip

    return _stacked(rng, _left(setting), colour, [statement() for _ in range(rng.randint(2, 12))])


def _left(setting: _Setting) -> _Setting:
    return _Setting(setting.face, setting.size, setting.width, setting.leading, "left", setting.colour)


_KINDS: tuple[tuple[Callable[[random.Random, World], tuple[Pixels, str]], float], ...] = (
    (_flowing, 60), (_list, 12), (_address, 6), (_heading, 8), (_loose, 9), (_code, 5),
)  # fmt: skip
