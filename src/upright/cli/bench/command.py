"""`upright bench`: from the command line to a table, a file and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from upright.cli.complaint import EXIT_FAILED, EXIT_USAGE, complain
from upright.cli.leaving import leaving_at_once
from upright.cli.options import keyword, with_options
from upright.config import ConfigError, EngineConfig, ServeConfig, make_config

if TYPE_CHECKING:
    from upright.cli.bench.bench import Bench
    from upright.cli.bench.loads import Load

PIPED_WIDTH = 220  # a file has no edge to break lines at
SUMMARY = """Measure how fast MODEL runs here, or with --http how fast a server answers.

MODEL is measured by itself, with those options of `upright serve` that concern an engine; as there, they may also come
from the environment and from the file of --config. A server has options of its own already; only its --api-key is
needed, if it has one.
"""


def _number(flag: str, text: str) -> Any:
    return typer.Option(flag, min=1, metavar="NUMBER", help=text, show_default=False)


def bench_command() -> Callable[..., None]:
    return with_options(_run, SUMMARY, _OWN, {*EngineConfig.model_fields, "api_key"} - {"test_faults"})


_OWN = (
    keyword("http", str | None, typer.Option("--http", metavar="URL", help="Measure the server there instead.")),
    keyword("only", str | None, typer.Option("--only", metavar="WORDS", help="Only what has one of them in its name.")),
    keyword("quick", bool | None, typer.Option("--quick", help="Measure less, with shorter answers.")),
    keyword("json", Path | None, typer.Option("--json", metavar="FILE", help="File for all figures.")),
    keyword("load", str | None, typer.Option("--load", metavar="text|page|crop", help="With --http, only this load.")),
    keyword("requests", int | None, _number("--requests", "Requests of --load. [default: 128]")),
    keyword("concurrency", int | None, _number("--concurrency", "How many of them at once. [default: 64]")),
    keyword("max_tokens", int | None, _number("--max-tokens", "Tokens of each answer. [default: 256]")),
    keyword("prompt_words", int | None, _number("--prompt-words", "Words of each prompt. [default: 4]")),
    keyword("stream", bool | None, typer.Option("--stream/--no-stream", help="Whether answers are streamed.")),
)  # fmt: skip


def _run(given: dict[str, Any], config_file: Path | None) -> None:
    from rich.console import Console

    from upright.cli.bench.bench import CannotMeasure
    from upright.cli.bench.progress import Progress
    from upright.cli.bench.results_file import write_results
    from upright.cli.interruption import Interrupted, interruptible

    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    bench: Bench | None = None
    code, problem, interrupted = 0, "", False
    try:
        with leaving_at_once():  # nothing is there to be told
            bench = _bench(given, config_file)
        with interruptible(), Progress(console) as progress:
            bench.measure(progress)
    except ConfigError as error:
        code, problem = EXIT_USAGE, str(error)
    except (CannotMeasure, OSError) as error:
        code, problem = EXIT_FAILED, str(error)
    except Interrupted as stop:
        code, problem, interrupted = stop.exit_code, str(stop), True
    if bench is not None and (bench.rows or bench.complete or interrupted):
        bench.show(console)
        try:
            if "json" in given:
                write_results(given["json"], bench.figures(), bench.complete)
        except OSError as error:
            code = code or EXIT_FAILED
            complain(f"--json: {error}")
    if problem:
        complain(problem)
    if code:
        sys.exit(code)


def _bench(given: Mapping[str, Any], config_file: Path | None) -> Bench:
    """What the command line asks for. Raises: ConfigError."""
    from upright.cli.bench.results_file import check_results_file
    from upright.cli.bench.usage import LOAD_OPTIONS, check_usage

    check_usage(given)
    if "json" in given:
        check_results_file(given["json"])
    only = tuple(word.strip() for word in given.get("only", "").split(",") if word.strip())
    quick = "quick" in given
    settings = {name: value for name, value in given.items() if name in ServeConfig.model_fields}
    if "http" not in given:
        from upright.cli.bench.engine_bench import EngineBench

        return EngineBench(make_config(settings, os.environ, config_file), only, quick)
    from upright.cli.bench.loads import chosen_loads, own_load
    from upright.cli.bench.server_bench import ServerBench

    keys = make_config(settings, os.environ, config_file).api_key  # it may stand in any place where options do
    if "load" in given:
        own = {name: given[name] for name in LOAD_OPTIONS if name in given}
        loads: tuple[Load, ...] = (own_load(given["load"], **own),)
    else:
        loads = chosen_loads(only, quick)
    return ServerBench(given["http"], keys[0] if keys else "", given.get("model", ""), loads)
