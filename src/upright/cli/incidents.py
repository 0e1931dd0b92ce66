"""`upright incidents`: what engines died of, from the reports that the server left."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upright.cli.complaint import EXIT_FAILED, EXIT_USAGE, complain

if TYPE_CHECKING:
    from upright.supervise.incidents.incident import Incident

PIPED_WIDTH = 200  # a file has no edge to break lines at


def incidents_command(
    incident: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Show this one: its id, the beginning of it, or last.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", show_default=False)] = False,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="UPRIGHT_STATE_DIR",
            metavar="PATH",
            help="Where the server keeps its state, if not in $XDG_STATE_HOME/upright or ~/.local/state/upright.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the reports of engines that died, newest first, or show one."""
    from upright.supervise.incidents.store import IncidentStore, NoSuchIncident
    from upright.supervise.state_directory import incidents_directory, state_directory

    if state_dir is not None and not state_dir.is_dir():
        complain(f"there is no directory {state_dir}: --state-dir is the one that the server was given")
        sys.exit(EXIT_USAGE)
    try:
        store = IncidentStore(incidents_directory(state_dir or state_directory()))
        found = store.list() if incident is None else store.get(incident)
    except NoSuchIncident as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    except OSError as error:
        complain(
            f"cannot read incident reports: {error}; run this as the user that runs the server, or see --state-dir"
        )
        sys.exit(EXIT_FAILED)
    if isinstance(found, list):
        _list(found, store.directory, as_json)
    else:
        _show(found, as_json)


def _list(incidents: list[Incident], directory: Path, as_json: bool) -> None:
    if as_json:
        _print_json(incidents)
        return
    if not incidents:
        print(f"No incidents: there is no report in {directory}.")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from upright.supervise.incidents.markdown import shown_how, shown_time

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "when", "cause"):
        table.add_column(column, no_wrap=True)
    for column in ("how", "requests", "what was done"):
        table.add_column(column, overflow="fold")
    for one in incidents:
        cells = (one.id, shown_time(one.when), one.cause, shown_how(one.how), _requests(one), _sentences(one.decision))
        table.add_row(*(Text(cell) for cell in cells))  # Text: a bracket in it is no markup
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)


def _sentences(parts: list[str]) -> str:
    """One after the other, with a full stop between them."""
    return ". ".join(part.removesuffix(".") for part in parts) + ("." if parts and parts[-1].endswith(".") else "")


def _show(incident: Incident, as_json: bool) -> None:
    if as_json:
        _print_json(incident)
        return
    from upright.supervise.incidents.markdown import incident_markdown

    text = incident_markdown(incident)
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def _print_json(value: Incident | list[Incident]) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _requests(incident: Incident) -> str:
    from upright.supervise.incidents.markdown import at_work

    return f"{len(incident.requests)}, {at_work(incident)}" if incident.requests else "none"
