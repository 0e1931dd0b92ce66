"""`upright demo`: a server that is started, or one that runs, is shown a page and a receipt."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from upright import reader
from upright.cli.complaint import EXIT_FAILED, EXIT_USAGE, CannotServe, complain
from upright.cli.leaving import INTERRUPTED
from upright.cli.options import keyword, with_options
from upright.cli.serve import serve
from upright.config import ConfigError, ServeConfig, make_config
from upright.logs import few

SUMMARY = """Serve the reader that comes with Upright, have it read a page and answer a question, and go on serving.

It takes MODEL and the options of `upright serve`. With --url nothing is started: the server there is asked instead.
"""
SHOWN = {"model", "host", "port", "api_key", "device", "threads"}
FOR_A_SERVER_THAT_RUNS = {"url", "once", "api_key"}

_OWN = (
    keyword("url", str | None, typer.Option("--url", metavar="URL", help="Ask the server there instead.")),
    keyword("once", bool | None, typer.Option("--once", help="Stop the server after the reading.")),
)


def demo_command() -> Callable[..., None]:
    return with_options(_run, SUMMARY, _OWN, SHOWN)


def _run(given: dict[str, Any], config_file: Path | None) -> None:
    missing = [file.name for file in (reader.PAGE, reader.RECEIPT, reader.SAMPLES) if not file.is_file()]
    if missing:
        complain(f"{reader.DIRECTORY} lacks {few(missing)}, which the demo shows; install upright-serve again")
        sys.exit(EXIT_FAILED)
    if "url" in given:
        _ask(given, config_file)
        return
    once = given.pop("once", False)

    async def visit(address: str, config: ServeConfig) -> bool:
        from upright.cli.demo.tour import show
        from upright.cli.parse.asking import NoAnswer

        try:
            await show(address, _key(config), stays=not once)
        except NoAnswer as error:
            raise CannotServe(str(error)) from error
        if not once:
            print(f"\nThe server goes on at {address}/v1; Ctrl-C stops it.", flush=True)
        return not once

    serve(given, config_file, visit)


def _ask(given: dict[str, Any], config_file: Path | None) -> None:
    from upright.cli.demo.tour import show
    from upright.cli.parse.asking import NoAnswer

    out_of_place = sorted(given.keys() - FOR_A_SERVER_THAT_RUNS) + (["config"] if config_file else [])
    if out_of_place:
        flags = ", ".join("MODEL" if name == "model" else "--" + name.replace("_", "-") for name in out_of_place)
        complain(f"{flags}: with --url no server is started, so this would change nothing; leave it out")
        sys.exit(EXIT_USAGE)
    try:
        config = make_config({name: given[name] for name in given.keys() & {"api_key"}}, os.environ)
        asyncio.run(show(given["url"], _key(config)))
    except ConfigError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    except NoAnswer as error:
        complain(str(error))
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _key(config: ServeConfig) -> str:
    return config.api_key[0] if config.api_key else ""
