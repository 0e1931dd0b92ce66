"""Command-line options made from the fields of `ServeConfig`, so that an option is written down once."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from upright.config import ServeConfig


def with_options(
    run: Callable[[dict[str, Any], Path | None], None], summary: str, own: Sequence[inspect.Parameter] = ()
) -> Callable[..., None]:
    """A typer command that collects what was given on the command line, by field name, and calls `run`.

    `run(given, config_file)` gets only what the user really gave: an option that is absent has no say over the
    configuration file and the environment. `own` are options of the command itself, given to `run` beside the others.
    """

    def command(**given: Any) -> None:
        config_file = given.pop("config")
        run({name: value for name, value in given.items() if value is not None}, config_file)

    parameters = [_parameter(name, field) for name, field in ServeConfig.model_fields.items()]
    config_option = typer.Option("--config", help="YAML file of `option: value` lines, under the same names.")
    parameters.append(_keyword("config", Path | None, config_option))
    parameters += own
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = summary
    return command


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    if name == "model":
        return _keyword(name, str | None, typer.Argument(metavar="MODEL", help=field.description, show_default=False))
    flag = "--" + name.replace("_", "-")
    text = f"{field.description} {_default(field)}".strip()
    if bool in (field.annotation, *typing.get_args(field.annotation)):
        return _keyword(name, bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=text, show_default=False))
    metavar = _metavar(field)
    return _keyword(name, str | None, typer.Option(flag, help=text, metavar=metavar, show_default=False))


def _keyword(name: str, annotation: Any, option: Any) -> inspect.Parameter:
    annotated = typing.Annotated[annotation, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotated)


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
    for kind, text in ((int, "NUMBER"), (float, "SECONDS"), (Path, "PATH")):
        if kind in kinds:
            return text
    return "TEXT"
