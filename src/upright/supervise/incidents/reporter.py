"""Writes incident reports beside everything else: a slow disk, or a GPU's tool that hangs, delays no recovery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from upright.supervise.incidents.autopsy import Findings
from upright.supervise.incidents.incident import Incident, Recovery
from upright.supervise.incidents.store import IncidentStore, NoSuchIncident

log = logging.getLogger(__name__)

FINISH_SECONDS = 10.0  # that reports get to be written when the server stops


class Reporter:
    """One thread, so that a report and what is added to it are written in order."""

    def __init__(self, directory: Path | None) -> None:
        self._store = IncidentStore(directory) if directory is not None else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="incidents")
        self._newest: Incident | None = None  # belongs to the thread

    def file(self, findings: Findings) -> None:
        self._thread.submit(self._guarded, lambda: self._file(findings))

    def add_recovery(self, incident: str, recovery: Recovery) -> None:
        """How the engine after `incident` took over, for its report."""
        self._thread.submit(self._guarded, lambda: self._add_recovery(incident, recovery))

    def amend(self, incident: str, decision: str) -> None:
        """What became clear of `incident` later, for its report."""
        self._thread.submit(self._guarded, lambda: self._amend(incident, decision))

    async def finish(self) -> None:
        """Return once everything is written, or has had time enough."""
        self._thread.shutdown(wait=False)
        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, self._thread.shutdown)
        await asyncio.wait({waiting}, timeout=FINISH_SECONDS)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("a bug kept an incident from being reported")

    def _file(self, findings: Findings) -> None:
        self._newest = findings.report()
        self._write(self._newest)

    def _add_recovery(self, incident: str, recovery: Recovery) -> None:
        if self._newest is not None and self._newest.id == incident:
            self._newest = msgspec.structs.replace(self._newest, recovery=recovery)
            self._write(self._newest)

    def _amend(self, incident: str, decision: str) -> None:
        if self._newest is not None and self._newest.id == incident:
            self._newest = msgspec.structs.replace(self._newest, decision=[*self._newest.decision, decision])
            self._write(self._newest)
        elif self._store is not None:
            try:
                older = self._store.get(incident)
            except NoSuchIncident:  # it is being made just now, and its own decision says so
                return
            self._write(msgspec.structs.replace(older, decision=[*older.decision, decision]))

    def _write(self, incident: Incident) -> None:
        if self._store is None:
            return
        try:
            self._store.write(incident)
        except OSError as error:
            log.error("cannot write the report of incident %s: %s", incident.id, error)
