"""The two pictures that ship with the reader, and what stands in them: a page to read and a receipt to ask about.

    python -m training.sample_pages OUT [--fonts DIRECTORY] [--texts DIRECTORY]

Writes sample.png, receipt.png and samples.json. Fonts, texts and layouts are held out, so the reader has seen none of
them; the page is a square of the side that a client squashes pages to, so that nothing on it is squashed.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from training.render import receipts
from training.render.blocks import Page
from training.render.documents import draft
from training.render.pages import SIDE, Drawn
from training.render.pages_draw import draw
from training.render.pages_elements import paragraph, table
from training.render.pages_look import make_look
from training.render.pages_sheet import Sheet
from training.render.sheets import draw as draw_sheet
from training.samples import Pixels
from training.train import FONTS, TEXTS, open_world
from training.world import World
from upright.cli.parse.protocol import SCALE

PAGE_SEED, RECEIPT_SEED = 27, 12  # chosen for a page whose prose somebody wrote, and a receipt with a plain total
TYPE = 19  # pixels: what a scanned page has at this size
KINDS = ("title", "text", "table_caption", "table", "page_number")
LEAST, MOST = 1000, 1600  # characters of prose: some seconds' reading on a CPU
ENDS = '.!?"”’'
MERGED = ("<lcel>", "<ucel>", "<xcel>")
ASKED = ("total", "date", "shop", "receipt_number", "cashier", "tax", "method")  # of the receipt
LEAST_ASKED = 4


def report(rng: random.Random, world: World) -> Page:
    """A title, prose, a table and prose: no layout that is trained on has just that."""
    look = make_look(rng, world, (1.5, 1.5))
    margin = SIDE // 11
    look = replace(
        look, width=SIDE, height=SIDE, paper=(255, 255, 255), left=margin, right=SIDE - margin, top=margin // 2,
        bottom=SIDE - margin // 2, size=TYPE, leading=1.35, indent=0, gap=TYPE, ink=(20, 20, 20), accent=(20, 20, 20),
    )  # fmt: skip
    sheet, texts = Sheet(rng, world, look), world.texts

    def titled(y: int, size: int) -> int:
        return sheet.text("title", texts.title(rng), look.left, look.right, y, face=look.display, size=size, most=1)

    def said(y: int, lines: float) -> int:
        return paragraph(sheet, look.left, look.right, y, look.bottom - 3 * TYPE, lines)[0]

    y = titled(look.top, 2 * TYPE) + 2 * TYPE
    y = said(y, 6) + 2 * TYPE
    y = titled(y, round(1.4 * TYPE)) + TYPE
    y = said(y, 6) + 2 * TYPE
    y = table(sheet, look.left, look.right, y, look.bottom - 3 * TYPE) + 2 * TYPE
    said(y, 8)
    sheet.text("page_number", str(rng.randint(2, 90)), look.left, look.right, look.bottom, align="centre")
    return sheet.page()


def page(world: World, seed: int) -> Drawn:
    """The first of the seed's pages that is as described: whole paragraphs, and a table without merged cells."""
    rng = random.Random(f"sample page {seed}")
    while True:
        found = Drawn(*draw(report(rng, world)))
        said = {kind: [block.text for block in found.blocks if block.kind == kind] for kind in KINDS}
        paragraphs, tables = said["text"], said["table"]
        whole = len(paragraphs) == 3 and all(text[-1] in ENDS for text in paragraphs)
        long = LEAST < sum(map(len, paragraphs)) < MOST
        if whole and long and tables and said["table_caption"] and not any(mark in tables[0] for mark in MERGED):
            return found


def receipt(world: World, seed: int) -> tuple[Pixels, list[dict[str, str]], list[str]]:
    """Unworn, with questions and answers, and its lines."""
    rng = random.Random(f"sample receipt {seed}")
    while True:
        made = draft(rng, world, (receipts.CAFE,))
        fields = {field.kind: field for field in made.fields}
        asked = [
            {"question": f"What is the {fields[kind].names[0]}?", "answer": fields[kind].value}
            for kind in ASKED
            if kind in fields
        ]
        if "total" in fields and fields["total"].label == "Total" and len(asked) >= LEAST_ASKED:
            return draw_sheet(made.sheet), asked, list(made.lines)


def told(found: Drawn) -> list[Mapping[str, Any]]:
    """Blocks as `upright parse --json` prints them."""
    return [
        {"type": block.kind, "box": [round(SCALE * edge / SIDE) for edge in block.box], "text": block.text}
        for block in found.blocks
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fonts", type=Path, default=FONTS)
    parser.add_argument("--texts", type=Path, default=TEXTS)
    options = parser.parse_args()
    world = open_world(options, "held-out")
    found = page(world, PAGE_SEED)
    pixels, questions, lines = receipt(world, RECEIPT_SEED)
    for name, picture in (("sample.png", found.pixels), ("receipt.png", pixels)):
        Image.fromarray(picture).save(options.out / name, optimize=True)
    samples = {"page": {"blocks": told(found)}, "receipt": {"questions": questions, "lines": lines}}
    (options.out / "samples.json").write_text(json.dumps(samples, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
