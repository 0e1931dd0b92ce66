"""Results of a bench for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from upright.cli.bench.http_loads import Outcome, refusal
from upright.cli.bench.loads import Load
from upright.engine.bench_cases import Peaks, Row


def engine_row(row: Row, peaks: Peaks) -> dict[str, Any]:
    """What a case comes to: rates a second, and shares of what the device can do."""
    rate = row.decode_bytes / row.decode_step if row.decode_step else None
    return {
        "case": row.name,
        "requests": row.requests,
        "seconds": row.seconds,
        "first_token_ms": 1000 * row.first,
        "ms_per_step": 1000 * row.seconds / max(1, row.output_tokens / row.requests),
        "decode_step_ms": 1000 * row.decode_step if row.decode_step else None,
        "output_tokens_per_second": row.output_tokens / row.seconds,
        "prompt_tokens_per_second": row.prompt_tokens / row.seconds,
        "requests_per_second": row.requests / row.seconds,
        "steps": row.steps,
        "bytes_per_second": rate,
        "share_of_memory": rate / peaks.bytes_per_second if rate is not None else None,
        "flop_per_second": row.flop / row.seconds,
        "share_of_products": row.flop / row.seconds / peaks.flop_per_second,
    }


def engine_line(row: dict[str, Any]) -> str:
    """The gist of it, for somebody who waits for the others."""
    rates = f"{row['output_tokens_per_second']:,.0f} tokens out/s, {row['prompt_tokens_per_second']:,.0f} in/s"
    return f"{row['case']}: {row['seconds']:.3f} s, last first token after {row['first_token_ms']:.1f} ms, {rates}"


def load_row(load: Load, outcome: Outcome) -> dict[str, Any]:
    """What a load comes to. There are no figures of what the server refused: `refused` says why."""
    refused = refusal(outcome)
    seconds = max(1e-9, outcome.ended - outcome.began)
    row: dict[str, Any] = {
        "load": load.name,
        "finished": outcome.finished,
        "requests": load.requests,
        "at_once": load.at_once,
        "max_tokens": load.output,
        "errors": outcome.errors,
        "refused": refused or None,
        "seconds": None if refused else seconds,
        "requests_per_second": None if refused else outcome.finished / seconds,
        "tokens_per_second": None if refused else outcome.tokens / seconds,
    }
    for name, values in (("latency", outcome.latency), ("first_token", outcome.first), ("gap", outcome.gaps)):
        for share in (50, 99):
            row[f"{name}_ms_p{share}"] = 1000 * percentile(values, share) if values else None
    return row


def load_line(row: dict[str, Any]) -> str:
    """The gist of it, for somebody who waits for the others."""
    if row["refused"]:
        return f"{row['load']}: {_problems(row)}"
    rates = f"{row['requests_per_second']:.2f} requests/s, {row['tokens_per_second']:,.0f} tokens/s"
    counts = f"{row['finished']} of {row['requests']} finished in {row['seconds']:.2f} s"
    return f"{row['load']}: {counts}, {rates}; errors: {_problems(row)}"


def percentile(values: Sequence[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def engine_table(rows: Sequence[dict[str, Any]], peaks: Peaks) -> Table:
    """The last columns hold a step of decodes against the memory, and the whole case against a product of matrices."""
    title = (
        f"{peaks.device}, {peaks.dtype}: copies {peaks.bytes_per_second / 1e12:.3g} TB/s, multiplies "
        f"{peaks.flop_per_second / 1e12:.3g} TFLOP/s; ready {peaks.start_seconds:.1f} s after its imports"
    )
    columns = (
        ("case", "case", ""), ("requests", "requests", ".0f"), ("seconds", "s", ".3f"),
        ("first_token_ms", "last first token, ms", ".1f"), ("ms_per_step", "ms a token", ".3f"),
        ("decode_step_ms", "decode step, ms", ".3f"), ("output_tokens_per_second", "tokens out/s", ",.0f"),
        ("prompt_tokens_per_second", "tokens in/s", ",.0f"), ("requests_per_second", "requests/s", ".2f"),
        ("bytes_per_second", "decode bytes/s", "TB"), ("share_of_memory", "of memory", "%"),
        ("flop_per_second", "FLOP/s", "TFLOP"), ("share_of_products", "of products", "%"),
    )  # fmt: skip
    return _table(title, columns, rows)


def load_table(rows: Sequence[dict[str, Any]], server: str) -> Table:
    columns = (
        ("load", "load", ""), ("finished", "finished", ".0f"), ("seconds", "s", ".2f"),
        ("requests_per_second", "requests/s", ".2f"), ("tokens_per_second", "tokens/s", ",.0f"),
        ("first_token_ms_p50", "first token, ms: p50", ".0f"), ("first_token_ms_p99", "p99", ".0f"),
        ("gap_ms_p50", "between pieces, ms: p50", ".1f"), ("gap_ms_p99", "p99", ".1f"),
        ("latency_ms_p50", "whole answer, ms: p50", ".0f"), ("latency_ms_p99", "p99", ".0f"), ("errors", "errors", ""),
    )  # fmt: skip
    return _table(server, columns, [row | {"errors": _problems(row)} for row in rows])


def _problems(row: dict[str, Any]) -> str:
    """Of a load."""
    if row["refused"]:
        return f"refused: {row['refused']}"
    return ", ".join(f"{count} × {kind}" for kind, count in row["errors"].items()) or "none"


def _table(title: str, columns: Sequence[tuple[str, str, str]], rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=Text(title, "table.title"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name, heading, _ in columns:
        table.add_column(heading, justify="left" if name in ("case", "load", "errors") else "right")
    for row in rows:
        table.add_row(*(Text(_shown(row[name], form)) for name, _, form in columns))  # Text: a bracket is no markup
    return table


def _shown(value: Any, form: str) -> str:
    if value is None:
        return "–"
    if form in ("TB", "TFLOP"):
        return f"{value / 1e12:.3g} {form}/s"
    return f"{100 * value:.0f}%" if form == "%" else format(value, form)
