"""Command-line options made from the fields of `ServeConfig`, so that an option is written down once."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import DirectoryPath
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from upright.config import ServeConfig


def with_options(
    run: Callable[[dict[str, Any], Path | None], None],
    summary: str,
    own: Sequence[inspect.Parameter] = (),
    shown: Collection[str] = ServeConfig.model_fields.keys(),
) -> Callable[..., None]:
    """A typer command that collects what was given on the command line, by field name, and calls `run`.

    `run(given, config_file)` gets only what the user really gave: an option that is absent has no say over the
    configuration file and the environment. `own` are options of the command itself, given to `run` beside the others.
    The help has no fields but those `shown`: a command line may hold any of them, and `run` says what is out of place.
    """

    def command(**given: Any) -> None:
        config_file = given.pop("config")
        run({name: value for name, value in given.items() if value is not None}, config_file)

    parameters = list(own)
    parameters += [_parameter(name, field, name not in shown) for name, field in ServeConfig.model_fields.items()]
    config_help = "YAML file of `option: value` lines, under the same names."
    parameters.append(keyword("config", Path | None, typer.Option("--config", metavar="FILE", help=config_help)))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = summary
    return command


def keyword(name: str, annotation: Any, option: Any) -> inspect.Parameter:
    """A parameter of a command; `option` is typer's. Without it on the command line its value is None."""
    annotated = typing.Annotated[annotation, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotated)


def _parameter(name: str, field: FieldInfo, hidden: bool) -> inspect.Parameter:
    if name == "model":
        return keyword(name, str | None, typer.Argument(metavar="MODEL", help=field.description, show_default=False))
    flag = "--" + name.replace("_", "-")
    text = f"{field.description} {_default(field)}".strip()
    if bool in (field.annotation, *typing.get_args(field.annotation)):
        switch = typer.Option(f"{flag}/--no-{flag[2:]}", help=text, show_default=False, hidden=hidden)
        return keyword(name, bool | None, switch)
    option = typer.Option(flag, help=text, metavar=_metavar(field), show_default=False, hidden=hidden)
    return keyword(name, str | None, option)


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined or default is None or default == () or default == "":
        return ""
    return f"[default: {default}]"


def _metavar(field: FieldInfo) -> str:
    """What the option takes, for the help text: its own word, its choices, or the kind of value."""
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["metavar"])
    annotation = field.annotation
    if typing.get_origin(annotation) is Literal:
        return "|".join(str(choice) for choice in typing.get_args(annotation))
    kinds = {annotation, *typing.get_args(annotation)}
    for kind, text in ((int, "NUMBER"), (float, "SECONDS"), (Path, "PATH"), (DirectoryPath, "PATH")):
        if kind in kinds:
            return text
    return "TEXT"
