"""Every command of `upright` in one place."""

from __future__ import annotations

import typer

from upright import __version__
from upright.cli.bench.command import bench_command
from upright.cli.demo.command import demo_command
from upright.cli.incidents import incidents_command
from upright.cli.parse.command import parse_command
from upright.cli.serve import serve_command

app = typer.Typer(
    name="upright",
    help="Serve vision-language models behind the OpenAI API, and stay on your feet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"upright {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Serve vision-language models behind the OpenAI API, and stay on your feet."""


app.command("demo")(demo_command())
app.command("serve")(serve_command())
app.command("parse")(parse_command)
app.command("bench")(bench_command())
app.command("incidents")(incidents_command)
