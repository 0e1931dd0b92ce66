"""Incident reports on disk: one JSON file for programs and one Markdown file for people each."""

from __future__ import annotations

import difflib
import logging
import os
import tempfile
from pathlib import Path
from typing import TypeAlias

import msgspec

from upright.supervise.incidents.incident import Incident
from upright.supervise.incidents.markdown import incident_markdown

log = logging.getLogger(__name__)

LAST = "last"  # names the newest report
NEAREST = 3  # ids that are offered where one is not found

_Incidents: TypeAlias = list[Incident]  # inside the class, `list` is a method
_Ids: TypeAlias = list[str]


class NoSuchIncident(LookupError):
    """No report, or more than one, has the name; the message offers ids."""


class IncidentStore:
    """The reports in `directory`, at most `keep` of them. Every method blocks on the disk.

    Several servers may share the directory. Files are readable by this user only: a log line may say more than its
    author thought.
    """

    def __init__(self, directory: Path, keep: int = 200) -> None:
        self.directory = directory
        self._keep = keep

    def write(self, incident: Incident) -> None:
        """Write both files, whole or not at all, in the place of earlier ones of the same id. Raises: OSError."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        content = msgspec.json.format(msgspec.json.encode(incident), indent=2)
        self._write(self._path(incident.id, "json"), content)
        self._write(self._path(incident.id, "md"), incident_markdown(incident).encode())
        self._prune(spare=incident.id)

    def list(self) -> _Incidents:
        """All reports, newest first; a file that cannot be read is logged and left out. Raises: OSError."""
        found = []
        for name in reversed(self._ids()):
            try:
                found.append(self._read(name))
            except (OSError, msgspec.MsgspecError, ValueError) as error:
                log.warning("%s is no incident report that can be read, and is left out: %s", self._path(name, "json"),
                            error)  # fmt: skip
        return found

    def get(self, id_or_prefix: str) -> Incident:
        """The report with this id, the only one whose id begins so, or the newest for "last".

        Raises: NoSuchIncident, OSError.
        """
        ids = self._ids()
        if not ids:
            raise NoSuchIncident(f"there is no incident report in {self.directory}")
        matching = ids[-1:] if id_or_prefix == LAST else [name for name in ids if name.startswith(id_or_prefix)]
        if id_or_prefix in ids:
            matching = [id_or_prefix]
        if not matching:
            close = difflib.get_close_matches(id_or_prefix, reversed(ids), n=NEAREST, cutoff=0.3)
            offered = ", ".join(close or ids[: -NEAREST - 1 : -1])
            raise NoSuchIncident(f"no incident report begins with {id_or_prefix}; the nearest: {offered}")
        if len(matching) > 1:
            offered = ", ".join(matching[: -NEAREST - 1 : -1])
            raise NoSuchIncident(
                f"{len(matching)} incident reports begin with {id_or_prefix}; give more of the id, such as {offered}"
            )
        path = self._path(matching[0], "json")
        try:
            return self._read(matching[0])
        except (msgspec.MsgspecError, ValueError) as error:
            raise NoSuchIncident(f"{path} is no incident report that can be read: {error}") from error

    def _ids(self) -> _Ids:
        """Ids on disk, oldest first. Raises: OSError, unless the directory is not there yet."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json") and name[0] != ".")

    def _path(self, incident_id: str, kind: str) -> Path:
        return self.directory / f"{incident_id}.{kind}"

    def _read(self, incident_id: str) -> Incident:
        return msgspec.json.decode(self._path(incident_id, "json").read_bytes(), type=Incident)

    def _write(self, path: Path, content: bytes) -> None:
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=self.directory)  # mode 0600
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # the machine may be about to fall over too
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _prune(self, spare: str) -> None:
        """Remove the oldest beyond `keep`, never `spare`: after a clock has gone back the newest sorts first."""
        others = [name for name in self._ids() if name != spare]
        for name in others[: max(0, len(others) + 1 - self._keep)]:
            for kind in ("md", "json"):
                try:
                    self._path(name, kind).unlink(missing_ok=True)
                except OSError as error:
                    log.warning("an old incident report cannot be removed: %s", error)
