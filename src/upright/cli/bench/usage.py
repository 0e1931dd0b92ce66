"""Options that would change nothing. They are refused, so that what is measured is what was asked for."""

from __future__ import annotations

from collections.abc import Iterable

from upright.config import ConfigError
from upright.engine.bench_cases import Named, named


def check_only(words: tuple[str, ...], some: Iterable[Named]) -> None:
    """Raises: ConfigError for words of --only that name nothing."""
    all_of_them = tuple(some)
    if unknown := [word for word in words if not named(all_of_them, (word,))]:
        names = "; ".join(one.name for one in all_of_them)
        raise ConfigError(f"--only {', '.join(unknown)}: nothing has that in its name; there are: {names}")
