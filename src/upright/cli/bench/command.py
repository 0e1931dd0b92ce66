"""`upright bench`: from the command line to tables and a file."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upright import __version__
from upright.cli.bench.bench import CannotMeasure
from upright.cli.complaint import EXIT_FAILED, EXIT_USAGE, CannotServe, complain
from upright.cli.options import with_options
from upright.config import ConfigError, make_config

if TYPE_CHECKING:
    from rich.console import Console

SUMMARY = "Measure how fast MODEL runs here, or with --http how fast a server answers."


def bench_command() -> Callable[..., None]:
    return with_options(_run, SUMMARY, _OWN)


def _own(name: str, annotation: Any, option: Any, default: Any = None) -> inspect.Parameter:
    annotated = Annotated[annotation, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotated)


_OWN = (
    _own("http", str | None, typer.Option("--http", metavar="URL", help="Measure the server there instead.")),
    _own("only", str | None, typer.Option("--only", metavar="WORDS", help="Only cases whose name holds one of these.")),
    _own("quick", bool, typer.Option("--quick", help="Fewer cases and shorter answers."), False),
    _own("json", Path | None, typer.Option("--json", metavar="FILE", help="File for all figures.")),
    _own("load", str | None, typer.Option("--load", metavar="text|page|crop", help="With --http, only this load.")),
    _own("requests", int, typer.Option("--requests", min=1, help="Requests of that load."), 128),
    _own("concurrency", int, typer.Option("--concurrency", min=1, help="How many of them at once."), 64),
    _own("max_tokens", int, typer.Option("--max-tokens", min=1, help="Tokens of each answer."), 256),
    _own("prompt_words", int, typer.Option("--prompt-words", min=1, help="Words of each prompt."), 4),
    _own("stream", bool, typer.Option("--stream/--no-stream", help="Whether answers are streamed."), True),
)  # fmt: skip


def _run(given: dict[str, Any], config_file: Path | None) -> None:
    from rich.console import Console

    own = {name: given.pop(name, None) for name in (parameter.name for parameter in _OWN)}
    only = tuple(word.strip() for word in (own["only"] or "").split(",") if word.strip())
    console = Console()
    if not console.is_terminal:
        console.width = 220
    try:
        if own["http"] is not None:
            found = _measure_server(
                own, given.get("model", ""), str(given.get("api_key") or "").split(",")[0], only, console
            )
        elif own["load"] is not None:
            raise ConfigError("--load is for a server; give its address with --http")
        else:
            found = _measure_engine(given, config_file, only, own["quick"], console)
    except ConfigError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    except (CannotMeasure, OSError) as error:
        complain(str(error))
        sys.exit(EXIT_FAILED)
    if own["json"] is not None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        own["json"].write_text(json.dumps({"version": __version__, "date": now} | found, indent=2) + "\n")


# ---- an engine by itself ---------------------------------------------------------------------------------------------


def _measure_engine(
    given: dict[str, Any], config_file: Path | None, only: tuple[str, ...], quick: bool, console: Console
) -> dict[str, Any]:
    """In a process of its own, as for serving: this one imports no torch. Raises: ConfigError, CannotMeasure."""
    import msgspec

    from upright.cli.bench.last_words import LastWords
    from upright.cli.bench.tables import engine_row, engine_table
    from upright.cli.serve import prepare
    from upright.engine.bench_cases import CASES, Failed, Job, Peaks, Report, Row, Skipped, Stage, chosen

    config = make_config(given, os.environ, config_file)
    try:
        options = prepare(config, lambda loading: None).plan.options
    except CannotServe as error:
        raise CannotMeasure(str(error)) from error
    cases = chosen(only, quick, options.device)
    if not cases:
        raise ConfigError(f"--only names none of the cases: {'; '.join(case.name for case in CASES)}")
    command = [sys.executable, "-m", "upright.engine.benchmark"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    last_words = LastWords(child)
    peaks: Peaks | None = None
    rows, skipped = [], {}
    try:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(msgspec.json.encode(Job(options, cases)))
        child.stdin.close()
        with console.status("starting") as status:
            for line in child.stdout:
                match msgspec.json.decode(line, type=Report):
                    case Stage(text=text):
                        status.update(text)
                    case Peaks() as found:
                        peaks = found
                    case Row() as row:
                        assert peaks is not None
                        rows.append(engine_row(row, peaks))
                    case Skipped(name=name, reason=reason):
                        skipped[name] = reason
                    case Failed(reason=reason):
                        raise CannotMeasure(reason)
        code = child.wait()
    finally:
        child.kill()
        child.wait()
    if peaks is not None:
        console.print(engine_table(rows, peaks))
    for name, reason in skipped.items():
        console.print(f"not measured: {name}: {reason}")
    left_out = [case.name for case in CASES if case.name not in {chosen.name for chosen in cases}]
    if left_out and not only:
        what = "quick run" if quick else "CPU"
        console.print(f"left out of a {what}: {'; '.join(left_out)}. Name with --only what is wanted all the same.")
    if code != 0:
        raise CannotMeasure(f"the engine ended with code {code}: {last_words.read()}")
    return {
        "options": msgspec.to_builtins(options), "peaks": msgspec.to_builtins(peaks), "rows": rows, "skipped": skipped,
    }  # fmt: skip


# ---- a server --------------------------------------------------------------------------------------------------------


def _measure_server(
    own: dict[str, Any], model: str, key: str, only: tuple[str, ...], console: Console
) -> dict[str, Any]:
    """Raises: ConfigError, CannotMeasure, OSError."""
    from upright.cli.bench.loads import chosen_loads, own_load
    from upright.cli.bench.server_bench import ServerBench

    if own["load"] is None:
        loads = chosen_loads(only, own["quick"])
    else:
        numbers = own["requests"], own["concurrency"], own["max_tokens"], own["prompt_words"], own["stream"]
        loads = (own_load(own["load"], *numbers),)
    bench = ServerBench(own["http"], key, model, loads)
    with console.status("warming up") as status:
        bench.measure(status)
    bench.show(console)
    if not any(row["finished"] for row in bench.rows):
        raise CannotMeasure("no request has been answered; the table says why")
    return bench.figures()
