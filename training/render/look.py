"""A sheet of samples for people: `python -m training.render.look training.render.lines.line 40 out.png`.

`--bundled` does without the fonts and the texts that have to be fetched.
"""

from __future__ import annotations

import argparse
import importlib
import random
import textwrap
from itertools import islice
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from training.batches import made
from training.fonts import DebianFonts, bundled
from training.samples import Maker, MakerOfSeveral, Sample
from training.texts import EnglishTexts
from training.world import World

WIDTH = 1500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maker", help="by its module and name")
    parser.add_argument("count", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=["train", "held-out"], default="train")
    parser.add_argument("--fonts", type=Path, default=Path("training/data/fonts"))
    parser.add_argument("--texts", type=Path, default=Path("training/data/texts"))
    parser.add_argument("--bundled", action="store_true", help="Pillow's and the system's fonts, generated texts")
    options = parser.parse_args()
    fonts = bundled() if options.bundled else DebianFonts.load(options.fonts, options.split)
    texts = EnglishTexts.load(None if options.bundled else options.texts, options.split)
    world = World(options.split, fonts, texts)
    module, _, name = options.maker.rpartition(".")
    maker: Maker | MakerOfSeveral = getattr(importlib.import_module(module), name)
    sheet(list(islice(made(random.Random(options.seed), {maker: 1.0}, world), options.count))).save(options.out)


def sheet(samples: list[Sample]) -> Image.Image:
    """Pictures side by side, and what is said of each below it."""
    tiles = [_tile(sample) for sample in samples]
    places, x, y, row = [], 0, 0, 0
    for tile in tiles:
        if x and x + tile.width > WIDTH:
            x, y, row = 0, y + row + 8, 0
        places.append((x, y))
        x, row = x + tile.width + 12, max(row, tile.height)
    whole = Image.new("RGB", (WIDTH, y + row), (200, 205, 215))
    for tile, place in zip(tiles, places, strict=True):
        whole.paste(tile, place)
    return whole


def _tile(sample: Sample) -> Image.Image:
    pictures = [Image.fromarray(picture) for turn in sample.turns for picture in turn.pictures]
    width = min(WIDTH, max([240, *(picture.width for picture in pictures)]))
    words = []
    for turn in sample.turns:
        said = f"{turn.role}: {turn.text!r} {list(turn.calls) or ''}"
        words += textwrap.wrap(said, max(30, width // 6))
    font = _small_print()
    height = sum(picture.height for picture in pictures) + 13 * len(words) + 4
    tile = Image.new("RGB", (width, height), (255, 255, 220))
    y = 0
    for picture in pictures:
        tile.paste(picture, (0, y))
        y += picture.height
    ImageDraw.Draw(tile).multiline_text((2, y), "\n".join(words), (120, 0, 0), font, spacing=2)
    return tile


def _small_print() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font has no bullets, dashes or pounds."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", 10)
    except OSError:
        return ImageFont.load_default(11)


if __name__ == "__main__":
    main()
