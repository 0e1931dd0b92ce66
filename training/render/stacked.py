"""Things below each other, of a line or more each: lists, references, headings, addresses, labels, code."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from training.render.setting import WIDEST, Setting, choose, taken
from training.render.typeset import Box, shown, typeset, width_of, wrap
from training.render.words import words
from training.samples import Pixels
from training.world import Face, World


@dataclass(frozen=True)
class Item:
    """`indent` and `hang`: how far its first line and its others are set in; `before`: room above it, in pixels.

    `spaces`: what its line begins with, as far as the answer is concerned.
    """

    text: str
    face: Face
    size: int
    indent: int = 0
    hang: int = 0
    before: int = 0
    spaces: int = 0
    flows: bool = True


def listed(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """With bullets, numbers or letters before each."""
    setting = _plain(rng, choose(rng, world, most=30))
    mark = rng.choice(("•", "•", "-", "–", "{}.", "{}.", "{})", "({})", "[{}]", "*", "{}:"))
    begin, letters = rng.choice((0, 0, 0, rng.randrange(20))), rng.random() < 0.2
    texts = world.texts
    kinds = (texts.sentence, texts.title, texts.product, lambda rng: texts.paragraph(rng, 120))
    one = rng.choice(kinds) if rng.random() < 0.6 else None
    marked = []
    for index in range(rng.randint(2, 9)):
        number = chr(97 + index) if letters else begin + index + 1
        marked.append((mark.format(number), (one or rng.choice(kinds))(rng)))
    return _hanging(rng, setting, marked)


def references(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """As at the end of a paper."""
    setting = _plain(rng, choose(rng, world, most=26, ems=(20, 42)))
    begin, mark = rng.randrange(40), rng.choice(("[{}]", "{}.", "{}", ""))
    marked = [(mark.format(begin + index), _reference(rng, world)) for index in range(rng.randint(2, 8))]
    return _hanging(rng, setting, marked)


def _reference(rng: random.Random, world: World) -> str:
    texts = world.texts
    people = [texts.person(rng) for _ in range(rng.randint(1, 3))]
    authors = people[0] if len(people) == 1 else f"{', '.join(people[:-1])} {rng.choice(('and', '&'))} {people[-1]}"
    title, year = texts.title(rng), rng.randint(1931, 2025)
    if rng.random() < 0.5:
        title = f'"{title},"'
    first = rng.randrange(1, 900)
    pages = f"{first}{rng.choice('-–')}{first + rng.randint(1, 30)}"
    where = rng.choice((
        f"{texts.company(rng)}, {year}.", f"vol. {rng.randint(1, 90)}, pp. {pages}, {year}.",
        f"{rng.randint(1, 90)}({rng.randint(1, 12)}):{pages}, {year}.", f"{year}.",
    ))  # fmt: skip
    return f"{authors} ({year}). {title}" if rng.random() < 0.2 else f"{authors}. {title}. {where}".replace('". ', '" ')


def _hanging(rng: random.Random, setting: Setting, marked: list[tuple[str, str]]) -> tuple[Pixels, str]:
    """Marks before texts, whose other lines begin below the first word, below the mark, or in between."""
    face, size = setting.face, setting.size
    indent, how = rng.choice((0, 0, size, 2 * size)), rng.random()
    before = round(rng.choice((0.0, 0.2, 0.5)) * size)
    items = []
    for mark, text in marked:
        beside = round(width_of(face, size, shown(face, f"{mark} ") + " ")) if mark else size
        hang = indent + (beside if how < 0.6 else 0 if how < 0.85 else size)
        items.append(Item(shown(face, f"{mark} {text}"), face, size, indent, hang, before))
    return stacked(rng, setting, items)


def addressed(rng: random.Random, world: World) -> tuple[Pixels, str]:
    setting = choose(rng, world)
    texts = world.texts
    lines = [rng.choice((texts.person, texts.company))(rng), *texts.address(rng)]
    if rng.random() < 0.3:
        lines.append(words(rng, world))
    return _lines(rng, setting, lines)


def heading(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """Large, and of one line to three."""
    setting = choose(rng, world, "display", 64, (6, 24))
    text = world.texts.title(rng)
    if rng.random() < 0.3:
        text = f"{rng.randint(1, 12)}{rng.choice(('', '.', f'.{rng.randint(1, 9)}'))} {text}"
    bold = world.fonts.styled(setting.face, True, False) if rng.random() < 0.4 else setting.face
    text = shown(bold, text)
    widest = max(width_of(bold, setting.size, word) for word in text.split())
    setting = replace(setting, face=bold, width=max(setting.width, min(WIDEST, round(widest) + 1)))
    return stacked(rng, setting, [Item(text, bold, setting.size)])


def loose(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """Lines that have nothing to do with each other, as on a label or a card."""
    setting = choose(rng, world, "any")
    return _lines(rng, setting, [words(rng, world) for _ in range(rng.randint(2, 10))])


def _lines(rng: random.Random, setting: Setting, texts: list[str]) -> tuple[Pixels, str]:
    """Each is one line: of what does not fit, the first words."""
    face, size = setting.face, setting.size
    items = []
    for text in texts:
        whole = shown(face, text)
        first = wrap(face, size, whole, setting.width)[:1]
        if first and whole[: len(first[0]) + 1].rstrip() == first[0]:  # ends where a word does
            items.append(Item(first[0], face, size, flows=False))
    return stacked(rng, replace(setting, align="left" if setting.align == "justified" else setting.align), items)


def code(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """Lines of a program, each with the spaces that it begins with."""
    face = world.fonts.pick(rng, "mono")  # no other shows how many spaces there are
    setting = replace(choose(rng, world, most=28, ems=(16, 42)), face=face, align="left")
    texts, size = world.texts, setting.size
    step = rng.choice((2, 4, 4, 8))
    space = width_of(face, size, " ")

    def name() -> str:
        return "_".join(texts.word(rng).lower() for _ in range(rng.randint(1, 2)))

    def statement() -> str:
        return rng.choice((
            f"{name()} = {rng.randrange(1000)}", f"def {name()}({name()}, {name()}):", f"# {texts.title(rng)}",
            f"return {name()}[{rng.randrange(10)}]", f"if {name()} > {rng.randrange(100)}:",
            f'print("{texts.word(rng)}")', f"for {name()} in {name()}:", f"{name()}({name()}={rng.randrange(10)})",
            f"import {name()}", f"const {name()} = {rng.randrange(100)};", f"while ({name()} != {name()}) {{",
            f"{name()} += {name()} * {rng.randrange(10)};", "else:", "}",
        ))  # fmt: skip

    items: list[Item] = []
    level = 0
    for _ in range(rng.randint(2, 12)):
        line = shown(face, statement())
        indent = round(level * step * space)
        if len(wrap(face, size, line, setting.width - indent)) == 1:
            items.append(Item(line, face, size, indent, indent, 0, level * step, flows=False))
            level = level + 1 if line.endswith((":", "{")) else max(0, level - rng.choice((0, 0, 1, 2)))
            level = min(level, 3)
    return stacked(rng, setting, items)


def article(rng: random.Random, world: World) -> tuple[Pixels, str]:
    """A heading, and paragraphs that can be told apart."""
    setting = _plain(rng, choose(rng, world, most=30, ems=(16, 42)))  # centred, paragraphs would not be told apart
    face, size = setting.face, setting.size
    bold = world.fonts.styled(face, True, False)
    items = []
    if rng.random() < 0.7:
        title = shown(bold, world.texts.title(rng))
        items.append(Item(title, bold, round(size * rng.uniform(1.15, 1.7))))
    apart = rng.random() < 0.6
    for _ in range(rng.randint(1, 3)):
        text = shown(face, world.texts.paragraph(rng, rng.randint(60, 320)))
        before = round(size * rng.uniform(0.5, 1.0)) if apart else 0
        items.append(Item(text, face, size, 0 if apart else 2 * size, 0, before))
    return stacked(rng, setting, items)


def _plain(rng: random.Random, setting: Setting) -> Setting:
    """Set to the left, or now and then to both sides."""
    return replace(setting, align="justified" if setting.align == "justified" and rng.random() < 0.5 else "left")


def stacked(rng: random.Random, setting: Setting, items: list[Item]) -> tuple[Pixels, str]:
    """As many as fit; those with a word that is longer than a line are left out. Never nothing."""
    paper = setting.paper(setting.height)
    boxes: list[Box] = []
    said: list[Item] = []
    y = setting.top
    for item in items:
        top = y + (item.before if said else 0)
        lines = _fitting(setting, item)
        high = round(len(lines) * setting.leading * item.size)
        if not lines:
            continue
        if said and top + high > setting.top + setting.height:
            break
        room = max(1, int((setting.top + setting.height - top) / (setting.leading * item.size)))
        drawn = typeset(
            paper, item.text, item.face, item.size, setting.left + item.hang, top, setting.width - item.hang,
            setting.leading, setting.align, setting.ink, item.indent - item.hang, room,
        )  # fmt: skip
        boxes += [line.box for line in drawn]
        said.append(replace(item, text=" ".join(line.text for line in drawn)))
        y = top + round(len(drawn) * setting.leading * item.size)
    if not said:
        word = f"{rng.randrange(1000)}"
        boxes.append(paper.text(setting.left, setting.top, word, setting.face, setting.size, setting.ink))
        return taken(rng, setting, paper, boxes), word
    least = min(item.spaces for item in said)
    answer = "\n".join(" " * (item.spaces - least) + item.text for item in said)
    return taken(rng, setting, paper, boxes), answer


def _fitting(setting: Setting, item: Item) -> list[str]:
    """Its lines; none if a word would have to be cut, or a line broken that must not be."""
    room = setting.width - max(item.indent, item.hang)
    lines = wrap(item.face, item.size, item.text, room)
    return lines if " ".join(lines) == item.text and (item.flows or len(lines) == 1) else []
