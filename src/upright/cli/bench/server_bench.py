"""A server, of any make, loaded over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from rich.console import Console

from upright.cli.bench.bench import CannotMeasure
from upright.cli.bench.http_loads import Outcome, refusal, run_load
from upright.cli.bench.loads import Load
from upright.cli.bench.progress import Progress
from upright.cli.bench.served_models import meant, served_models
from upright.cli.bench.tables import load_line, load_row, load_table
from upright.config import ConfigError


class ServerBench:
    """A `Bench`. `model` is the one to ask for; empty for the first that the server lists."""

    def __init__(self, url: str, key: str, model: str, loads: tuple[Load, ...]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.complete = False
        self._url, self._key, self._model, self._loads = url.rstrip("/"), key, model, loads
        self._skipped: dict[str, str] = {}

    def measure(self, progress: Progress) -> None:
        """Raises: ConfigError, CannotMeasure, OSError."""
        try:
            served = asyncio.run(served_models(self._url, self._key))
        except ValueError as error:
            raise ConfigError(f"--http: {error}") from error
        model = meant(served, self._model)
        self._model = model.name
        if model.images is False:
            self._skipped = {load.name: "the model takes no images" for load in self._loads if load.content != "text"}
        loads = [load for load in self._loads if load.name not in self._skipped]
        if not loads:
            raise CannotMeasure(f"{model.name} at {self._url} takes no images, and nothing else was asked for")
        for number, load in enumerate(loads):
            progress.stage(load.name)
            self.rows.append(load_row(load, self._outcome(load, 10 * number + 10)))
            progress.finished(load_line(self.rows[-1]))
        self.complete = True
        if not any(row["finished"] for row in self.rows):
            raise CannotMeasure("no request has been answered; the table says why")

    def _outcome(self, load: Load, seed: int) -> Outcome:
        """Of the load, or of the few requests before it if the server takes none of its kind."""
        few = msgspec.structs.replace(load, requests=min(8, load.at_once), output=min(8, load.output))
        warm_up = run_load(self._url, self._key, self._model, few, seed)
        return warm_up if refusal(warm_up) else run_load(self._url, self._key, self._model, load, seed + 1)

    def show(self, console: Console) -> None:
        if self.rows:
            console.print(load_table(self.rows, f"{self._model} at {self._url}"))
        ended = {row["load"] for row in self.rows} | self._skipped.keys()
        missing = [load.name for load in self._loads if load.name not in ended]
        for what, names in (("the model takes no images", [*self._skipped]), ("not finished", missing)):
            if names:
                console.print(f"{what}: {'; '.join(names)}", markup=False, highlight=False)

    def figures(self) -> dict[str, Any]:
        return {"url": self._url, "model": self._model, "rows": self.rows, "skipped": self._skipped}
