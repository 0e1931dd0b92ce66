"""Options that would change nothing. They are refused, so that what is measured is what was asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from upright.config import ConfigError, EngineConfig, ServeConfig
from upright.engine.bench_cases import Named, named

LOAD_OPTIONS = ("requests", "concurrency", "max_tokens", "prompt_words", "stream")
CHOICES = ("only", "quick")  # among the loads that there are


def check_usage(given: Mapping[str, Any]) -> None:
    """`given` is what the command line holds, by name. Raises: ConfigError."""
    if "http" not in given:
        _refuse(given, ("load", *LOAD_OPTIONS), "for a server; give its address with --http, or leave it out")
        serving = ServeConfig.model_fields.keys() - EngineConfig.model_fields.keys()
        _refuse(given, serving, "for `upright serve`, and changes nothing for an engine by itself; leave it out")
        return
    servers = ServeConfig.model_fields.keys() - {"model", "api_key"}
    _refuse(given, servers, "the server's own, which runs already; give it to the server when that is started")
    if "load" not in given:
        _refuse(given, LOAD_OPTIONS, "for a load of your own; add --load text, page or crop")
    else:
        _refuse(given, CHOICES, "for the loads that there are, and --load makes another; leave one of them out")


def check_only(words: tuple[str, ...], some: Iterable[Named]) -> None:
    """Raises: ConfigError for words of --only that name nothing."""
    all_of_them = tuple(some)
    if unknown := [word for word in words if not named(all_of_them, (word,))]:
        names = "; ".join(one.name for one in all_of_them)
        raise ConfigError(f"--only {', '.join(unknown)}: nothing has that in its name; there are: {names}")


def _refuse(given: Mapping[str, Any], options: Collection[str], reason: str) -> None:
    flags = [_flag(name, value) for name, value in given.items() if name in options]
    if flags:
        raise ConfigError(f"{', '.join(flags)}: this is {reason}")


def _flag(name: str, value: object) -> str:
    return ("--no-" if value is False else "--") + name.replace("_", "-")
