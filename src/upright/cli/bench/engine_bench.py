"""An engine by itself, in a process of its own, as for serving: this one imports no torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
from rich.console import Console

from upright.cli.bench.bench import CannotMeasure
from upright.cli.bench.last_words import LastWords
from upright.cli.bench.progress import Progress
from upright.cli.bench.tables import engine_line, engine_row, engine_table
from upright.cli.bench.usage import check_only
from upright.cli.complaint import CannotServe
from upright.cli.serve import prepare
from upright.config import ServeConfig
from upright.engine.bench_cases import CASES, Case, Failed, Job, Peaks, Report, Row, Skipped, Stage, chosen
from upright.messages import EngineOptions
from upright.supervise.diagnosis import exit_in_words

COMMAND = [sys.executable, "-m", "upright.engine.benchmark"]


class EngineBench:
    """A `Bench` of the cases that `only` names, or of all that the device is made for."""

    def __init__(self, config: ServeConfig, only: tuple[str, ...], quick: bool) -> None:
        """Raises: ConfigError."""
        self.rows: list[dict[str, Any]] = []
        self.complete = False
        self._config, self._only, self._quick = config, only, quick
        self._options: EngineOptions | None = None
        self._cases: tuple[Case, ...] = ()
        self._peaks: Peaks | None = None
        self._skipped: dict[str, str] = {}
        check_only(only, CASES)

    def measure(self, progress: Progress) -> None:
        """Raises: CannotMeasure."""
        try:
            plan = prepare(self._config, lambda loading: None).plan
        except CannotServe as error:
            raise CannotMeasure(str(error)) from error
        for note in plan.notes:
            progress.note(f"chosen for you: {note}")
        self._options = plan.options
        self._cases = chosen(self._only, self._quick, plan.options.device)
        pipe = subprocess.PIPE
        # In a session of its own, so that Ctrl-C ends it only by way of this process
        child = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        last_words = LastWords(child)
        try:
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write(msgspec.json.encode(Job(plan.options, self._cases)))
            child.stdin.close()
            for line in child.stdout:
                self._take(msgspec.json.decode(line, type=Report), progress)
            code = child.wait()
        finally:
            child.kill()
            child.wait()
        if code != 0:
            raise CannotMeasure(f"the engine has ended ({exit_in_words(code)}): {last_words.read()}")
        self.complete = True

    def _take(self, report: Report, progress: Progress) -> None:
        match report:
            case Stage(text=text):
                progress.stage(text)
            case Peaks():
                self._peaks = report
            case Row():
                assert self._peaks is not None
                self.rows.append(engine_row(report, self._peaks))
                progress.finished(engine_line(self.rows[-1]))
            case Skipped(name=name, reason=reason):
                self._skipped[name] = reason
            case Failed(reason=reason):
                raise CannotMeasure(reason)

    def show(self, console: Console) -> None:
        if self._peaks is not None:
            console.print(engine_table(self.rows, self._peaks))
        lines = [f"not measured: {name}: {reason}" for name, reason in self._skipped.items()]
        ended = {row["case"] for row in self.rows} | self._skipped.keys()
        if missing := [case.name for case in self._cases if case.name not in ended]:
            lines.append(f"not finished: {'; '.join(missing)}")
        names = {case.name for case in self._cases}
        left_out = [case.name for case in CASES if case.name not in names]
        if left_out and self._cases and not self._only:
            what = "quick run" if self._quick else "CPU"
            lines.append(f"left out of a {what}: {'; '.join(left_out)}. Name with --only what is wanted all the same.")
        for line in lines:
            console.print(line, markup=False, highlight=False)

    def figures(self) -> dict[str, Any]:
        return {
            "options": msgspec.to_builtins(self._options), "peaks": msgspec.to_builtins(self._peaks),
            "rows": self.rows, "skipped": self._skipped,
        }  # fmt: skip
