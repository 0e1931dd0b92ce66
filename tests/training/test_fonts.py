"""The fonts of documents: a family stands on one side, every face draws what it says, and picks are repeatable."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from training.font_families import INCOMPLETE, families
from training.fonts import (
    BEYOND_ASCII,
    INDEX,
    PILLOWS,
    PRINTABLE,
    DebianFonts,
    FileFace,
    FontChoice,
    FontFile,
    FontsMissing,
    bundled,
    missing_glyphs,
)
from training.world import FontKind

KINDS: tuple[FontKind, ...] = ("body", "display", "mono", "any")
FETCHED = os.environ.get("READER_FONTS")  # a directory that training.fonts made


def test_a_family_stands_on_one_side_only() -> None:
    assert len({family.name for family in families()}) == len(families())
    files = [name for family in families() for name, _, _ in family.files]
    assert len(set(files)) == len(files)


def test_the_held_out_span_what_there_is() -> None:
    held_out = [family for family in families() if family.split == "held-out"]
    assert 0.12 <= len(held_out) / len(families()) <= 0.18
    assert {family.kind for family in held_out} == {"body", "display", "mono"}
    assert {"serif", "sans", "mono", "typewriter", "machine", "narrow"} <= {family.look for family in held_out}


def test_every_family_begins_with_its_regular_face() -> None:
    for family in families():
        assert family.files[0][1:] == (False, False), family.name
        assert len({file[1:] for file in family.files}) == len(family.files)


@given(st.integers(), st.sampled_from(KINDS))
def test_equal_generators_pick_equal_faces(seed: int, kind: FontKind) -> None:
    fonts = bundled()
    face = fonts.pick(random.Random(seed), kind)
    assert face == fonts.pick(random.Random(seed), kind)
    assert fonts.styled(face, False, False).name == fonts.styled(fonts.styled(face, True, True), False, False).name


@given(st.integers(8, 60), st.sampled_from(KINDS))
def test_bundled_faces_draw_what_they_claim(size: int, kind: FontKind) -> None:
    face = bundled().pick(random.Random(size), kind)
    font = face.at(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert font is face.at(size)
    assert missing_glyphs(font, PRINTABLE) == ""


def test_a_style_that_a_family_lacks_leaves_the_face() -> None:
    faces = (FileFace("a", "A", None), FileFace("a-bold", "A", None, bold=True))
    fonts = DebianFonts([FontChoice("A", "body", 1, faces)])
    assert fonts.styled(faces[0], True, False) is faces[1]
    assert fonts.styled(faces[0], False, True) is faces[0]
    stranger = FileFace("b", "B", None)
    assert fonts.styled(stranger, True, False) is stranger


def test_families_are_picked_by_weight_and_not_by_their_files() -> None:
    many = FontChoice("many", "body", 1, (FileFace("m", "many", None), FileFace("mb", "many", None, bold=True)))
    one = FontChoice("one", "body", 3, (FileFace("o", "one", None),))
    rng = random.Random(1)
    fonts = DebianFonts([many, one])
    picked = [fonts.pick(rng, "body").family for _ in range(2000)]
    assert 0.7 < picked.count("one") / len(picked) < 0.8


def test_what_a_face_lacks_it_does_not_show() -> None:
    face = FileFace("ocr", "OCR", None, lacks="“”€")
    assert face.shows('plain "ASCII" & more')
    assert not face.shows("5 €")


def test_the_pictures_of_missing_characters_are_found_out() -> None:
    font = bundled().pick(random.Random(0), "body").at(30)
    assert missing_glyphs(font, "a\U000f1234b") == "\U000f1234"


def test_a_directory_without_fonts_says_how_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(FontsMissing, match=r"python -m training\.fonts"):
        DebianFonts.load(tmp_path, "train")


def test_an_index_is_read_for_one_split(tmp_path: Path) -> None:
    files = [
        FontFile("a/a.ttf", "A", "body", "train", 1, False, False, ""),
        FontFile("b/b.ttf", "B", "mono", "held-out", 1, False, False, "€"),
    ]
    (tmp_path / INDEX).write_text(json.dumps([vars(file) for file in files]))
    assert DebianFonts.load(tmp_path, "train").families == ("A",)
    face = DebianFonts.load(tmp_path, "held-out").pick(random.Random(0), "mono")
    assert (face.path, face.lacks) == (str(tmp_path / "b/b.ttf"), "€")


def test_bundled_needs_nothing_but_pillow() -> None:
    assert PILLOWS in bundled().families


@pytest.mark.skipif(FETCHED is None, reason="READER_FONTS names no directory of fetched fonts")
def test_fetched_faces_draw_what_they_claim() -> None:
    for entry in json.loads((Path(FETCHED or "") / INDEX).read_text()):
        file = FontFile(**entry)
        font = ImageFont.truetype(str(Path(FETCHED or "") / file.path), 40, layout_engine=ImageFont.Layout.BASIC)
        assert missing_glyphs(font, PRINTABLE) == "", file.path
        assert missing_glyphs(font, BEYOND_ASCII) == file.lacks, file.path
        assert not file.lacks or file.family in INCOMPLETE
