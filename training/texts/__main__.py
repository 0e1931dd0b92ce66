"""`python -m training.texts DIRECTORY` downloads the packages of sources.py and keeps their sentences, one a line."""

from __future__ import annotations

import argparse
import lzma
import subprocess
import tempfile
from pathlib import Path

from training.texts.prose import FILES
from training.texts.sources import SOURCES, read_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        aside = Path(name)
        packages = sorted({source.package for source in SOURCES})
        subprocess.run(["apt-get", "download", "-q", *packages], cwd=aside, check=True)
        for archive in sorted(aside.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", archive, aside / archive.name.split("_")[0]], check=True)
        sentences: dict[str, list[str]] = {split: [] for split in FILES}
        for source in SOURCES:
            found = read_source(source, aside / source.package)
            print(f"{source.split}: {source.package}: {len(found)} sentences, {sum(map(len, found)) / 1e6:.2f} MB")
            sentences[source.split] += found
    for split, file in FILES.items():
        (directory / file).write_bytes(lzma.compress("\n".join(sentences[split]).encode(), preset=6))
        print(f"{directory / file}: {(directory / file).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
