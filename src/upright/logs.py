"""Logging: one line form for every process, each line with its offset from UTC."""

from __future__ import annotations

import logging
import sys
from datetime import datetime


class OffsetFormatter(logging.Formatter):
    """`2026-11-21 20:12:51.123+00:00 INFO  front  text`: the offset ends every argument about whose clock it is."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (the base's name)
        return datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")


def configure_logging(process: str, level: str) -> None:
    """Send this process's log to standard error. `process` (front, engine) is shown on every line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OffsetFormatter(f"%(asctime)s %(levelname)-7s {process:<6} %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("upright").setLevel(level.upper())


def zone_line(now: datetime | None = None) -> str:
    """The local time zone as people name it, with its offset: `CST, UTC+08:00`."""
    moment = (now or datetime.now()).astimezone()
    offset = moment.isoformat(timespec="seconds")[-6:]
    return f"{moment.tzname()}, UTC{offset}"
