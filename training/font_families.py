"""The font families that documents are set in: where Debian keeps each, what it is for, and on which side it stands.

All of them are free: OFL; GUST (TeX Gyre, Latin Modern); GPL with the font exception (Libertine, Arkandis, Tiresias,
Liberation 1); Apache (Roboto, Open Sans); Bitstream Vera's (DejaVu); ParaType's; BSD (Go); MIT (Agave); CC-BY-SA (the
IBM PC fonts); X11 (OCR-B); public domain (OCR-A, Tuffy). No font travels with a checkpoint. A family is either trained
on or held out, whole, together with everything that was drawn after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.world import Split

Kind = Literal["body", "display", "mono"]
Look = Literal["serif", "sans", "slab", "narrow", "mono", "typewriter", "pixels", "machine", "display", "script"]

# package | family | kind, look, weight | files: regular, bold, italic, bold italic, as far as there are such
# The weight is how often a family is picked beside others of its kind.
TRAINED = """
fonts-liberation | Liberation Sans | body sans 4 | LiberationSans-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-liberation | Liberation Serif | body serif 4 | LiberationSerif-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-liberation | Liberation Sans Narrow | body narrow 1 | LiberationSansNarrow-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-liberation | Liberation Mono | mono mono 2 | LiberationMono-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-texgyre | TeX Gyre Heros | body sans 3 | texgyreheros-{regular,bold,italic,bolditalic}.otf
fonts-texgyre | TeX Gyre Heros Condensed | body narrow 1 | texgyreheroscn-{regular,bold,italic,bolditalic}.otf
fonts-texgyre | TeX Gyre Termes | body serif 3 | texgyretermes-{regular,bold,italic,bolditalic}.otf
fonts-texgyre | TeX Gyre Pagella | body serif 2 | texgyrepagella-{regular,bold,italic,bolditalic}.otf
fonts-texgyre | TeX Gyre Schola | body serif 2 | texgyreschola-{regular,bold,italic,bolditalic}.otf
fonts-texgyre | TeX Gyre Adventor | body sans 1 | texgyreadventor-{regular,bold,italic,bolditalic}.otf
fonts-texgyre | TeX Gyre Cursor | mono typewriter 2 | texgyrecursor-{regular,bold,italic,bolditalic}.otf
fonts-texgyre | TeX Gyre Chorus | display script 1 | texgyrechorus-{mediumitalic}.otf
fonts-lmodern | Latin Modern Roman | body serif 3 | lmroman10-{regular,bold,italic,bolditalic}.otf
fonts-lmodern | Latin Modern Sans | body sans 1 | lmsans10-{regular,bold,oblique,boldoblique}.otf
fonts-lmodern | Latin Modern Mono | mono typewriter 1 | lmmono10-{regular,,italic,}.otf
fonts-dejavu-core fonts-dejavu-extra | DejaVu Sans | body sans 1 | DejaVuSans{,-Bold,,}.ttf
fonts-dejavu-core fonts-dejavu-extra | DejaVu Serif | body serif 1 | DejaVuSerif{,-Bold,-Italic,-BoldItalic}.ttf
fonts-dejavu-core fonts-dejavu-extra | DejaVu Sans Mono | mono mono 1 | DejaVuSansMono{,-Bold,,}.ttf
fonts-lato | Lato | body sans 2 | Lato-{Regular,Bold,Italic,}.ttf
fonts-open-sans | Open Sans | body sans 3 | OpenSans-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-roboto-fontface | Roboto | body sans 3 | Roboto-{Regular,Bold,RegularItalic,BoldItalic}.ttf
fonts-roboto-fontface | Roboto Condensed | body narrow 1 | Roboto-Condensed-{Regular,Bold,RegularItalic,BoldItalic}.ttf
fonts-roboto-slab | Roboto Slab | body slab 1 | RobotoSlab-{Regular,Bold,,}.otf
fonts-cantarell | Cantarell | body sans 1 | Cantarell-{Regular,Bold,,}.otf
fonts-paratype | PT Sans | body sans 1 | PTS{55,75,56,76}F.ttf
fonts-paratype | PT Serif | body serif 1 | PTF{55,75,56,76}F.ttf
fonts-paratype | PT Sans Narrow | body narrow 1 | PTN{57,77,,}F.ttf
fonts-paratype | PT Mono | mono mono 1 | PTM{55,75,,}F.ttf
fonts-go | Go | body sans 1 | Go-{Regular,Bold,Italic,Bold-Italic}.ttf
fonts-go | Go Mono | mono slab 1 | Go-Mono{,-Bold,-Italic,-Bold-Italic}.ttf
fonts-adf-gillius | Gillius | body sans 1 | GilliusADF-{Regular,Bold,Italic,BoldItalic}.otf
fonts-adf-libris | Libris | body sans 1 | LibrisADFStd-{Regular,Bold,Italic,BoldItalic}.otf
fonts-adf-universalis | Universalis | body sans 1 | UniversalisADFStd-{Regular,Bold,Italic,BoldItalic}.otf
fonts-adf-mekanus | Mekanus | body slab 1 | MekanusADFStd-{Regular,Bold,Italic,BoldItalic}.otf
fonts-adf-romande | Romande | body serif 1 | RomandeADFStd-{Regular,DemiBold,Italic,DemiBoldItalic}.otf
fonts-adf-accanthis | Accanthis | body serif 1 | AccanthisADFStd-{Regular,Bold,Italic,BoldItalic}.otf
fonts-adf-tribun | Tribun | body serif 1 | TribunADFStd-{Regular,Bold,Italic,BoldItalic}.otf
fonts-adf-irianis | Irianis | body serif 1 | IrianisADFStd-{Regular,Bold,Italic,BoldItalic}.otf
fonts-karla | Karla | body sans 1 | Karla-{Regular,Bold,Italic,BoldItalic}.otf
fonts-manrope | Manrope | body sans 1 | Manrope-{Regular,Bold,,}.ttf
fonts-sora | Sora | body sans 1 | Sora-{Regular,Bold,,}.otf
fonts-oxygen | Oxygen | body sans 1 | Oxygen-Sans{,-Bold,,}.ttf
fonts-play | Play | body sans 1 | Play-{Regular,Bold,,}.otf
fonts-b612 | B612 | body sans 1 | B612-{Regular,Bold,Italic,BoldItalic}.otf
fonts-b612 | B612 Mono | mono mono 1 | B612Mono-{Regular,Bold,Italic,BoldItalic}.otf
fonts-tuffy | Tuffy | body sans 1 | Tuffy{,_Bold,_Italic,_Bold_Italic}.ttf
fonts-tiresias | Tiresias LP | body sans 1 | tiresias_lpfont{,_bold,_italic,}.ttf
fonts-averia-sans-gwf | Averia Sans | body sans 1 | AveriaSansGWF-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-averia-serif-gwf | Averia Serif | body serif 1 | AveriaSerifGWF-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-linuxlibertine | Linux Libertine | body serif 2 | LinLibertine_{R,RB,RI,RBI}.otf
fonts-linuxlibertine | Linux Biolinum | body sans 1 | LinBiolinum_{R,RB,,}.otf
fonts-crosextra-caladea | Caladea | body serif 2 | Caladea-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-sil-gentium-basic | Gentium Book Basic | body serif 1 | GenBkBas{R,B,I,BI}.ttf
fonts-ebgaramond | EB Garamond | body serif 2 | EBGaramond12-{Regular,,Italic,}.otf
fonts-oldstandard | Old Standard | body serif 1 | OldStandard-{Regular,Bold,Italic,}.ttf
fonts-gfs-didot | GFS Didot | body serif 1 | GFSDidot{,Bold,Italic,BoldItalic}.otf
fonts-gfs-neohellenic | GFS Neohellenic | body sans 1 | GFSNeohellenic{,Bold,It,BoldIt}.otf
fonts-quattrocento | Quattrocento | body serif 1 | Quattrocento-{Regular}.otf
fonts-fanwood | Fanwood | body serif 1 | FanwoodText{,,-Italic,}.otf
fonts-georgewilliams | Caslon | body serif 1 | Caslon{Roman,Bold,Italic,}.ttf
fonts-courier-prime | Courier Prime | mono typewriter 2 | Courier Prime{, Bold, Italic, Bold Italic}.otf
fonts-firacode | Fira Code | mono mono 1 | FiraCode-{Regular,Bold,,}.ttf
fonts-inconsolata | Inconsolata | mono mono 1 | Inconsolata{}.otf
fonts-fantasque-sans | Fantasque Sans Mono | mono mono 1 | FantasqueSansMono-{Regular,Bold,Italic,BoldItalic}.otf
fonts-mononoki | mononoki | mono mono 1 | mononoki-{Regular,Bold,Italic,Bold-Italic}.ttf
fonts-agave | Agave | mono mono 1 | agave-{r}-autohinted.ttf
fonts-league-mono | League Mono | mono mono 1 | LeagueMono-{Regular,Bold,,}.otf
fonts-league-mono | League Mono Narrow | mono narrow 1 | LeagueMono-{NarrowRegular,NarrowBold,,}.otf
fonts-3270 | IBM 3270 | mono pixels 1 | 3270-{Regular}.ttf
fonts-pc | IBM VGA | mono pixels 1 | Px_IBM_VGA{8}.ttf
fonts-pc | IBM MDA | mono pixels 1 | Px_IBM_MDA{}.ttf
fonts-ocr-a | OCR-A | mono machine 1 | OCRA{,Bold,,}.ttf
fonts-league-spartan | League Spartan | display display 1 | LeagueSpartan-{Regular,Bold,,}.otf
fonts-comfortaa | Comfortaa | display display 1 | Comfortaa-{Regular,Bold,,}.ttf
fonts-comic-neue | Comic Neue | display script 1 | ComicNeue-{Regular,Bold,Italic,BoldItalic}.otf
fonts-dosis | Dosis | display display 1 | Dosis-{Medium,Bold,,}.otf
fonts-jura | Jura | display display 1 | Jura-{Regular,Bold,,}.otf
fonts-essays1743 | Essays 1743 | display serif 1 | Essays1743{,-Bold,-Italic,}.ttf
fonts-lobstertwo | Lobster Two | display script 1 | LobsterTwo-{Regular,Bold,Italic,}.otf
"""
HELD_OUT = """
fonts-vollkorn | Vollkorn | body serif 1 | Vollkorn-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-texgyre | TeX Gyre Bonum | body serif 1 | texgyrebonum-{regular,bold,italic,bolditalic}.otf
fonts-adf-baskervald | Baskervald | body serif 1 | BaskervaldADFStd{,-Bold,-Italic,-BoldItalic}.otf
fonts-lindenhill | Linden Hill | body serif 1 | LindenHill{,,-Italic,}.otf
fonts-inter | Inter | body sans 1 | Inter-{Regular,Bold,Italic,BoldItalic}.otf
fonts-cabin | Cabin | body sans 1 | Cabin-{Regular,Bold,Italic,BoldItalic}.otf
fonts-jetbrains-mono | JetBrains Mono | mono mono 1 | JetBrainsMono-{Regular,Bold,Italic,BoldItalic}.ttf
fonts-anonymous-pro | Anonymous Pro | mono mono 1 | Anonymous Pro{, B, I, BI}.ttf
fonts-compagnon | Compagnon | mono typewriter 1 | Compagnon-{Roman}.otf
fonts-ocr-b | OCR-B | mono machine 1 | OCRB{}.otf
fonts-quicksand | Quicksand | display display 1 | Quicksand-{Regular,Bold,,}.ttf
fonts-yanone-kaffeesatz | Yanone Kaffeesatz | display narrow 1 | YanoneKaffeesatz-{Regular,Bold,,}.otf
"""
STYLES = ((False, False), (True, False), (False, True), (True, True))  # bold, italic: the order of a family's files
# Worth having though they lack some characters beyond ASCII: of the first two, made for machines, most of them.
INCOMPLETE = ("OCR-A", "OCR-B", "Inconsolata", "League Mono", "League Mono Narrow", "Quattrocento")


@dataclass(frozen=True)
class Family:
    name: str
    packages: tuple[str, ...]
    kind: Kind
    look: Look
    weight: int
    split: Split
    files: tuple[tuple[str, bool, bool], ...]  # file name, bold, italic


def families() -> tuple[Family, ...]:
    return (*_read(TRAINED, "train"), *_read(HELD_OUT, "held-out"))


def _read(table: str, split: Split) -> list[Family]:
    return [_family(line, split) for line in table.strip().splitlines()]


def _family(line: str, split: Split) -> Family:
    packages, name, use, pattern = (part.strip() for part in line.split("|"))
    kind, look, weight = use.split()
    before, _, rest = pattern.partition("{")
    inner, _, after = rest.partition("}")
    files = tuple(
        (before + style + after, *STYLES[place])
        for place, style in enumerate(inner.split(","))
        if style or place == 0  # an empty style is none, but for the regular one, which many files do not name
    )
    return Family(name, tuple(packages.split()), kind, look, int(weight), split, files)  # type: ignore[arg-type]
