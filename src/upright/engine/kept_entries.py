"""Small JSON files of what outlives a process: entries of one type, by key. Imports no torch."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import GenericAlias
from typing import Any, Generic, TypeVar

import msgspec

log = logging.getLogger(__name__)

Entry = TypeVar("Entry")


class KeptEntries(Generic[Entry]):
    """A file that cannot be read or written is told in the log and otherwise done without.

    `kind` is the type of an entry, as msgspec knows it; `what` the file is about, in words for the log; `most`: entries
    that are kept, the newest of them (None: all). Without a file nothing is kept.
    """

    def __init__(self, file: Path | None, kind: Any, what: str, most: int | None = None) -> None:
        self._file = file
        self._what = what
        self._most = most
        self._decoder: msgspec.json.Decoder[dict[str, Entry]] = msgspec.json.Decoder(GenericAlias(dict, (str, kind)))

    def get(self, key: str) -> Entry | None:
        return self._read().get(key)

    def put(self, key: str, entry: Entry) -> bool:
        """Keep `entry` as the newest. False: it cannot be kept."""
        entries = self._read()
        entries.pop(key, None)
        entries[key] = entry
        kept = list(entries.items())
        return self._write(dict(kept if self._most is None else kept[-self._most :]))

    def drop(self, key: str) -> None:
        entries = self._read()
        if entries.pop(key, None) is not None:
            self._write(entries)

    def _read(self) -> dict[str, Entry]:
        if self._file is None:
            return {}
        try:
            return self._decoder.decode(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            log.warning("cannot read %s before in %s: %s", self._what, self._file, error)
            return {}

    def _write(self, entries: dict[str, Entry]) -> bool:
        if self._file is None:
            return False
        temporary = self._file.with_suffix(f".{os.getpid()}.new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(entries), indent=2))
            temporary.replace(self._file)
        except OSError as error:
            log.warning("cannot keep %s in %s: %s", self._what, self._file, error)
            return False
        return True
