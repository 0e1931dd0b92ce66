"""An incident as Markdown: to be read in a terminal, or pasted into a bug report as it is.

What clients asked and were answered appears only where the incident holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from upright.plan.memory import gib
from upright.supervise.incidents.incident import Incident, Recovery, RequestFacts, StepFacts

LONGEST_HOW = 160  # characters, where one line is wanted
CAUSES = {
    "outside": "was ended from outside",
    "crash": "crashed",
    "memory": "ran out of memory",
    "hang": "hung",
}


def incident_markdown(incident: Incident) -> str:
    """The whole report. One line of summary comes first."""
    parts = [
        f"# Incident {incident.id}",
        summary(incident),
        _bullets("What was done", incident.decision),
        _recovery(incident.recovery) if incident.recovery is not None else "",
        _bullets("Ruled out", incident.ruled_out),
        _bullets("What to try", incident.advice),
        _step(incident.step) if incident.step is not None else "",
        _requests(incident.requests),
        _content(incident.requests),
        _engine(incident),
        _environment(incident),
        _block("Exception", incident.exception or ""),
        _block("Traceback", incident.traceback),
        _block("Stacks", incident.stacks),
        _block("Log", "\n".join(incident.log)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(incident: Incident) -> str:
    """What died, how, when, and what became of the requests, in one line."""
    age = f"{duration(incident.uptime)} after its start"
    doing = _doing(incident)
    flight = len(incident.requests)
    if not flight:
        requests = "No request was in flight."
    else:
        requests = f"{_count(flight, 'request')} {'was' if flight == 1 else 'were'} in flight, {at_work(incident)}."
    if incident.recovery is not None:
        recovery = incident.recovery
        requests += (
            f" The next engine continued {recovery.requests} of them, at most {duration(_away(recovery))} later."
        )
    died = f"**The engine {CAUSES[incident.cause]} ({shown_how(incident.how)})**"
    return f"{died} at {shown_time(incident.when)} ({incident.zone}), {age}, {doing}. {requests}"


def at_work(incident: Incident) -> str:
    """How many requests the engine was at work on: in its step, and in the decoder of images."""
    aboard = sum(request.aboard for request in incident.requests)
    decoding = max(0, aboard - (incident.step.sequences if incident.step is not None else aboard))
    parts = [f"{aboard - decoding} in the step"] * (aboard > decoding)
    parts += [f"{decoding} whose images were being decoded"] * bool(decoding)
    return ", ".join(parts) or "none in a step"


def shown_how(how: str) -> str:
    """One line, cut where it is long: an exception may tell much, and has a section of its own."""
    line = _line(how)
    return line if len(line) <= LONGEST_HOW else line[: LONGEST_HOW - 1] + "…"


def shown_time(when: str) -> str:
    """`2026-11-21 23:15:22+08:00`, for people; what is no time is left as it is."""
    try:
        return datetime.fromisoformat(when).isoformat(sep=" ", timespec="seconds")
    except ValueError:
        return when


def duration(seconds: float) -> str:
    """`0.4 s`, `45 s`, `2 min 12 s`, `3 h 5 min`, `2 d 3 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _doing(incident: Incident) -> str:
    step = incident.step
    if not incident.serving:
        return "while it was starting"
    if step is None:
        return "while it served"
    if step.phase == "step":
        return f"after step {step.number}" if step.done else f"while it computed step {step.number}"
    return {"loading": "while it was loading", "idle": "while it was idle", "decoding": "while it decoded images"}[
        step.phase
    ]


def _away(recovery: Recovery) -> float:
    return recovery.notice + recovery.take_over + recovery.load + recovery.replay


def _recovery(recovery: Recovery) -> str:
    kept = f"{_count(recovery.requests, 'request')} with {_count(recovery.tokens, 'token')} of output"
    return (
        f"{kept} went on after {duration(_away(recovery))}: at most {recovery.notice:.2f} s until the death was "
        f"noticed, {recovery.take_over:.2f} s until another process had the work, {recovery.load:.2f} s of loading, "
        f"{recovery.replay:.2f} s of replay."
    )


def _step(step: StepFacts) -> str:
    deadline = "none" if step.deadline is None else f"{step.deadline:.2f} s"
    rows = [
        ("doing", f"{step.phase}, number {step.number}{', done' if step.done else ''}"),
        ("for", f"{step.running_for:.2f} s, expected {step.expected:.2f} s, deadline {deadline}"),
        ("holding", f"{_count(step.sequences, 'sequence')}, {_count(step.tokens, 'token')}, "
                    f"{_count(step.images, 'image')} to encode"),
    ]  # fmt: skip
    return _facts("The step", rows)


def _requests(requests: list[RequestFacts]) -> str:
    if not requests:
        return ""
    rows = [
        (
            _code(request.id),
            str(request.prompt_tokens),
            str(request.output_tokens),
            f"{request.images} ({request.image_tokens} tokens)" if request.images else "0",
            "yes" if request.aboard else "no",
            str(request.deaths),
            "yes" if request.suspected else "no",
        )
        for request in sorted(requests, key=lambda request: (not request.suspected, not request.aboard))
    ]
    header = ("request", "prompt tokens", "output tokens", "images", "at work on", "deaths", "suspected")
    return "## Requests in flight\n\n" + _table(header, rows)


def _content(requests: list[RequestFacts]) -> str:
    """Token ids of prompts and outputs, where the operator asked for them."""
    lines = []
    for request in requests:
        for name, tokens in (("prompt", request.prompt), ("output", request.output)):
            if tokens is not None:
                lines.append(f"{request.id} {name}: {' '.join(map(str, tokens))}")
    return _block("Token ids", "\n".join(lines))


def _engine(incident: Incident) -> str:
    held = "unknown" if incident.resident_bytes is None else gib(incident.resident_bytes)
    kills = "cannot be read" if incident.oom_kills is None else str(incident.oom_kills)
    rung = f"{incident.rung} ({incident.rung_name})" if incident.rung_name else str(incident.rung)
    rows = [
        ("process", f"{incident.pid}, ran for {duration(incident.uptime)}"),
        ("ended", incident.how),
        ("produced", _count(incident.tokens, "token")),
        ("configuration", f"rung {rung}" if incident.rung else rung if incident.rung_name else "as it was set"),
        ("main memory held, when last seen", held),
        ("kernel's out-of-memory kills", kills),
    ]
    if incident.start_failure is not None:
        rows.append(("cannot start", incident.start_failure))
    return _facts("The engine", rows)


def _environment(incident: Incident) -> str:
    environment = incident.environment
    rows = [
        ("versions", f"Upright {environment.upright}, Python {environment.python}, "
                     f"PyTorch {environment.torch or 'not installed'}"),
        ("system", environment.platform),
        ("CPU", f"{environment.cpu}, {_count(environment.cores, 'core')} in use"),
        ("main memory", f"{gib(environment.memory_total)}, {gib(environment.memory_available)} free after the death"),
    ]  # fmt: skip
    if environment.driver is not None:
        rows.append(("GPU driver", environment.driver))
    rows += [("GPU", gpu) for gpu in environment.gpus]
    rows.append(("model", environment.model))
    options = ", ".join(f"{name}={value}" for name, value in environment.options.items() if name != "model_path")
    rows.append(("options", options))
    return _facts("Environment", rows)


def _bullets(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {_line(line)}" for line in lines) if lines else ""


def _facts(title: str, rows: list[tuple[str, str]]) -> str:
    return _bullets(title, [f"**{name}**: {value}" for name, value in rows])


def _block(title: str, text: str) -> str:
    """A fenced block; the fence is longer than any in the text."""
    if not text.strip():
        return ""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"## {title}\n\n{fence}text\n{text.rstrip()}\n{fence}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _code(text: str) -> str:
    return "`" + text.replace("`", "'") + "`"


def _line(text: str) -> str:
    return " ".join(text.split())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
