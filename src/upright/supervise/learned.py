"""What was learned about a configuration on this machine: the rung on which it stands. Kept between starts."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

import msgspec

from upright import __version__
from upright.engine.kept_entries import KeptEntries
from upright.messages import EngineOptions
from upright.supervise.policy import RungTraits, State

log = logging.getLogger(__name__)


class Lesson(msgspec.Struct, frozen=True):
    rung: str  # name
    relapses: int
    when: str  # ISO time with offset
    why: str


def fingerprint(options: EngineOptions, hardware: str) -> str:
    """Names (version, model, hardware, options): what was learned of one says nothing about another."""
    named = [__version__, hardware, msgspec.to_builtins(options)]
    return blake2b(json.dumps(named, sort_keys=True).encode(), digest_size=12).hexdigest()


def first_state(ladder: tuple[RungTraits, ...], lessons: Lessons | None, now: float) -> State:
    """Begin on the rung that was learned to stand, if any. `now`: seconds, monotonic."""
    state = State(ladder=ladder, since=now)
    lesson = lessons.recall() if lessons is not None else None
    names = [rung.name for rung in ladder]
    if lesson is None or lesson.rung not in names[1:]:
        return state
    log.warning(
        "starting on rung %r, as learned at %s (%s); --forget begins anew", lesson.rung, lesson.when, lesson.why
    )
    return replace(state, rung=names.index(lesson.rung), relapses=lesson.relapses)


class Lessons:
    """What was learned of one configuration, in a file with others."""

    def __init__(self, file: Path, key: str) -> None:
        self._entries: KeptEntries[Lesson] = KeptEntries(file, Lesson, "what was learned")
        self._key = key

    def recall(self) -> Lesson | None:
        return self._entries.get(self._key)

    def learn(self, rung: str, relapses: int, why: str) -> None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self._entries.put(self._key, Lesson(rung, relapses, now, why))

    def forget(self) -> None:
        self._entries.drop(self._key)
