"""The console script. What a command needs takes a moment to import, in which a person may have changed their mind."""

from upright.cli.leaving import leaving_at_once


def run() -> None:
    """The `upright` command."""
    with leaving_at_once():
        from upright.cli.commands import app
    app()
