"""Logging: one line form for every process, each line with its offset from UTC; and how messages name many things."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import datetime

SHOWN_NAMES = 5


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
    logging.getLogger("uvicorn.error").addFilter(_is_no_upgrade)


def _is_no_upgrade(record: logging.LogRecord) -> bool:
    """A client that asks for a WebSocket is answered without one; uvicorn would tell the operator to install some."""
    return not str(record.msg).startswith(("Unsupported upgrade", "No supported WebSocket"))


def zone_line(now: datetime | None = None) -> str:
    """The local time zone as people name it, with its offset: `CST, UTC+08:00`."""
    moment = (now or datetime.now()).astimezone()
    offset = moment.isoformat(timespec="seconds")[-6:]
    return f"{moment.tzname()}, UTC{offset}"


def few(names: Sequence[str]) -> str:
    """The first of `names` for a message, and how many more there are."""
    first = ", ".join(names[:SHOWN_NAMES])
    return first if len(names) <= SHOWN_NAMES else f"{first} and {len(names) - SHOWN_NAMES} more"
