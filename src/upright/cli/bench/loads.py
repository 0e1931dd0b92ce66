"""What a server is loaded with, under names that say how much it is."""

from __future__ import annotations

import msgspec

from upright.cli.bench.usage import check_only
from upright.config import ConfigError
from upright.engine.bench_cases import named

NOUNS = {"text": "text stream", "page": "page", "crop": "crop"}


class Load(msgspec.Struct, frozen=True):
    name: str
    requests: int
    at_once: int
    output: int  # tokens
    content: str = "text"  # or "page" or "crop"
    stream: bool = True
    words: int = 4  # of the text in every prompt
    quick: bool = True


def counted(load: Load) -> Load:
    """Under a name that tells its numbers, and no more at once than there are."""
    at_once = min(load.at_once, load.requests)
    noun = NOUNS[load.content] if load.stream or load.content != "text" else "text"
    name = f"{load.requests} {noun}{'' if load.requests == 1 else 's'}, {at_once} at once"
    return msgspec.structs.replace(load, name=name, at_once=at_once)


LOADS = (
    Load("1 text stream", 1, 1, 256),
    counted(Load("", 256, 64, 256, quick=False)),
    counted(Load("", 512, 256, 256)),
    Load("1 page, first token", 4, 1, 8, "page"),
    counted(Load("", 128, 64, 256, "page", stream=False)),
    counted(Load("", 256, 64, 64, "crop", stream=False)),
)


def quickened(load: Load) -> Load:
    """A quarter of the requests and of the tokens."""
    fewer = msgspec.structs.replace(load, requests=-(-load.requests // 4), output=max(8, load.output // 4))
    return fewer if load.at_once == 1 else counted(fewer)


def chosen_loads(only: tuple[str, ...], quick: bool) -> tuple[Load, ...]:
    """Those that `only` names, or all; `quick`: fewer, unless they are named, and smaller. Raises: ConfigError."""
    check_only(only, LOADS)
    found = named(LOADS, only) if only else tuple(load for load in LOADS if load.quick or not quick)
    return tuple(quickened(load) for load in found) if quick else found


def own_load(
    content: str, requests: int = 128, concurrency: int = 64, max_tokens: int = 256, prompt_words: int = 4,
    stream: bool = True,
) -> Load:  # fmt: skip
    """What the command line describes. Raises: ConfigError."""
    if content not in NOUNS:
        raise ConfigError(f"--load may be {', '.join(NOUNS)}, got {content!r}")
    return counted(Load("", requests, concurrency, max_tokens, content, stream, prompt_words))
