"""Debian's free fonts, as documents are set in them. `python -m training.fonts DIRECTORY` fetches them.

What is fetched lies in one directory for each family, beside an index.json that says what each file is for and
which of the less common characters it lacks. Files that do not draw all of ASCII are left out.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from PIL import ImageFont

from training.font_families import INCOMPLETE, Family, Kind, families
from training.world import Face, FontKind, Split

PRINTABLE = "".join(map(chr, range(33, 127)))
BEYOND_ASCII = "‘’“”–—•£€§©°½éèêëáàâäãåçñóòôöøúùüíîïÉÖÜÅ"  # what texts have besides
UNASSIGNED = "\U000fffff"  # no font has it: it is drawn as any missing character is
SHARE = {"body": 0.7, "display": 0.15, "mono": 0.15}  # of faces picked for anything
REGULAR, BOLD, ITALIC = 0.84, 0.09, 0.07
INDEX = "index.json"
PILLOWS = "Aileron"  # the font inside Pillow


class FontsMissing(Exception):
    """Says how to fetch them."""


@dataclass(frozen=True)
class FontFile:
    """A face of a family. `path` is relative to the directory of fonts; `lacks`: of BEYOND_ASCII."""

    path: str
    family: str
    kind: Kind
    split: Split
    weight: int
    bold: bool
    italic: bool
    lacks: str


@dataclass(frozen=True)
class FileFace:
    """A font file, or Pillow's own font where `path` is None."""

    name: str
    family: str
    path: str | None
    bold: bool = False
    italic: bool = False
    lacks: str = ""

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        return _opened(self.path, size)

    def shows(self, text: str) -> bool:
        """Whether it draws all of a text of printable ASCII and BEYOND_ASCII."""
        return not any(character in text for character in self.lacks)


@dataclass(frozen=True)
class FontChoice:
    """Faces of one family, of which `styled` gives the one that is asked for."""

    family: str
    kind: Kind
    weight: int
    faces: tuple[FileFace, ...]

    def nearest(self, bold: bool, italic: bool) -> FileFace | None:
        return next((face for face in self.faces if (face.bold, face.italic) == (bold, italic)), None)


class DebianFonts:
    """The fonts of one split: families are picked by their weights, however many files each has."""

    def __init__(self, choices: Iterable[FontChoice]) -> None:
        self._families = {choice.family: choice for choice in choices}
        if not self._families:
            raise FontsMissing("there is no font to choose from")
        self._kinds = {kind: _weighted(c for c in self._families.values() if c.kind == kind) for kind in SHARE}

    @classmethod
    def load(cls, directory: Path, split: Split) -> DebianFonts:
        """Raises: FontsMissing when the directory was not made by this module."""
        index = directory / INDEX
        if not index.is_file():
            raise FontsMissing(f"{index} is missing; fetch the fonts with: python -m training.fonts {directory}")
        files = [FontFile(**entry) for entry in json.loads(index.read_text(encoding="utf-8"))]
        return cls(_choices(directory, [file for file in files if file.split == split]))

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(self._families)

    def pick(self, rng: random.Random, kind: FontKind = "any") -> FileFace:
        if kind == "any":
            kind = rng.choices(tuple(SHARE), tuple(SHARE.values()))[0]  # type: ignore[assignment]
        choices, weights = self._kinds[kind] if self._kinds[kind][0] else self._everything()
        choice = rng.choices(choices, cum_weights=weights)[0]
        bold, italic = rng.choices(((False, False), (True, False), (False, True)), (REGULAR, BOLD, ITALIC))[0]
        return choice.nearest(bold, italic) or choice.faces[0]

    def styled(self, face: Face, bold: bool, italic: bool) -> Face:
        choice = self._families.get(face.family) if isinstance(face, FileFace) else None
        return (choice.nearest(bold, italic) if choice is not None else None) or face

    def _everything(self) -> tuple[Sequence[FontChoice], Sequence[int]]:
        return _weighted(self._families.values())


def bundled() -> DebianFonts:
    """For tests: the font inside Pillow, and DejaVu where the system has it. The same for both splits."""
    choices = [FontChoice(PILLOWS, "body", 1, (FileFace(PILLOWS, PILLOWS, None),))]
    kinds: dict[str, Kind] = {"DejaVu Sans": "display", "DejaVu Serif": "body", "DejaVu Sans Mono": "mono"}
    for family in families():
        if family.name in kinds:
            faces = [
                FileFace(Path(name).stem, family.name, name, bold, italic)
                for name, bold, italic in family.files
                if _found_by_system(name)
            ]
            if faces:
                choices.append(FontChoice(family.name, kinds[family.name], 1, tuple(faces)))
    return DebianFonts(choices)


def missing_glyphs(font: ImageFont.FreeTypeFont, characters: str) -> str:
    """Those of `characters` that the font does not draw, or draws as what it lacks."""
    absent = _drawn(font, UNASSIGNED)
    return "".join(c for c in characters if (drawn := _drawn(font, c)) == absent or not any(drawn[1]))


def fetch(directory: Path) -> list[FontFile]:
    """Download the packages with apt-get, keep the listed files that draw all of ASCII, and write the index."""
    directory.mkdir(parents=True, exist_ok=True)
    packages = sorted({package for family in families() for package in family.packages})
    with tempfile.TemporaryDirectory() as name:
        aside = Path(name)
        subprocess.run(["apt-get", "download", "-q", *packages], cwd=aside, check=True)
        for archive in sorted(aside.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", archive, aside / archive.name.split("_")[0]], check=True)
        kept = [file for family in families() for file in _keep(family, aside, directory)]
    (directory / INDEX).write_text(json.dumps([asdict(file) for file in kept], ensure_ascii=False, indent=1))
    return kept


def _keep(family: Family, aside: Path, directory: Path) -> list[FontFile]:
    kept = []
    for name, bold, italic in family.files:
        found = sorted(path for package in family.packages for path in (aside / package).rglob(name))
        if not found:
            raise FontsMissing(f"{' and '.join(family.packages)} no longer has {name}; repair font_families.py")
        font = ImageFont.truetype(str(found[0]), 40, layout_engine=ImageFont.Layout.BASIC)
        absent, lacks = missing_glyphs(font, PRINTABLE), missing_glyphs(font, BEYOND_ASCII)
        if absent or font.getlength(" ") <= 0 or _drawn(font, "g") == _drawn(font, "G"):
            print(f"left out: {family.name}, {name}: does not draw {absent or 'spaces or small letters'}")
            continue
        if lacks and family.name not in INCOMPLETE:
            print(f"left out: {family.name}, {name}: does not draw {lacks}")
            continue
        target = directory / family.name.replace(" ", "-").lower() / name.replace(" ", "-")
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(found[0], target)
        relative = target.relative_to(directory).as_posix()
        kept.append(FontFile(relative, family.name, family.kind, family.split, family.weight, bold, italic, lacks))
    return kept


def _choices(directory: Path, files: Sequence[FontFile]) -> list[FontChoice]:
    grouped: dict[str, list[FontFile]] = {}
    for file in files:
        grouped.setdefault(file.family, []).append(file)
    return [
        FontChoice(
            family,
            group[0].kind,
            group[0].weight,
            tuple(
                FileFace(Path(file.path).stem, family, str(directory / file.path), file.bold, file.italic, file.lacks)
                for file in group
            ),
        )
        for family, group in grouped.items()
    ]


def _weighted(choices: Iterable[FontChoice]) -> tuple[Sequence[FontChoice], Sequence[int]]:
    """With the weights added up, as random.choices takes them fastest."""
    listed = tuple(choices)
    return listed, tuple(accumulate(choice.weight for choice in listed))


@lru_cache(maxsize=512)  # a size of a face takes some 100 kB, and a worker opens hundreds of faces
def _opened(path: str | None, size: int) -> ImageFont.FreeTypeFont:
    """Laid out by the simple engine: the other one is not on every machine, and joins letters as it likes."""
    if path is None:
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise FontsMissing("this Pillow was built without FreeType; install the wheel from PyPI")
        return font
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _found_by_system(name: str) -> bool:
    try:
        _opened(name, 20)
    except OSError:
        return False
    return True


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    kept = fetch(directory)
    size = sum((directory / file.path).stat().st_size for file in kept)
    for split in ("train", "held-out"):
        names = {file.family for file in kept if file.split == split}
        print(f"{split}: {len(names)} families, {sum(file.split == split for file in kept)} files")
    print(f"{directory}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
