"""What a server says of the models that it serves, and which of them is meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from upright.cli.bench.http_client import Connection, Target
from upright.config import ConfigError


@dataclass(frozen=True)
class ServedModel:
    name: str
    root: str  # where its weights come from, or another word for it; empty if the server does not say
    images: bool | None  # whether it takes them; None if the server does not say


async def served_models(url: str, key: str = "") -> tuple[ServedModel, ...]:
    """At least one. Raises: ConnectionError; ValueError for an address that is none."""
    connection = Connection(Target.of(url, key))
    answer = await connection.ask("GET", "/v1/models", seconds=10.0)
    connection.close()
    if answer.error:
        way_out = "; give its key with --api-key or in UPRIGHT_API_KEY" if answer.error.startswith("HTTP 401") else ""
        raise ConnectionError(f"{url}/v1/models does not answer: {answer.error}{way_out}")
    try:
        found = tuple(_served_model(entry) for entry in json.loads(connection.body)["data"])
    except (ValueError, LookupError, TypeError) as error:
        raise ConnectionError(f"{url}/v1/models answers nothing that names a model: {error!r}") from error
    if not found:
        raise ConnectionError(f"{url}/v1/models lists no model")
    return found


async def model_name(url: str, key: str = "") -> str:
    """What the server calls its model. Raises: ConnectionError."""
    return (await served_models(url, key))[0].name


def meant(served: Sequence[ServedModel], wanted: str) -> ServedModel:
    """The model of that name or, if none is `wanted`, the first. Raises: ConfigError."""
    if not wanted:
        return served[0]
    for model in served:
        if wanted in (model.name, model.root):
            return model
    names = ", ".join(model.name for model in served)
    raise ConfigError(f"the server has no model {wanted}, it serves {names}; leave MODEL out, or name what it serves")


def _served_model(entry: dict[str, Any]) -> ServedModel:
    architecture = entry.get("architecture")
    modalities = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    images = "image" in modalities if isinstance(modalities, list) else None
    return ServedModel(str(entry["id"]), str(entry.get("root") or ""), images)
