"""From an engine that has ended and the requests in flight to the facts of a report."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from upright.engine.black_box import Reading
from upright.logs import zone_line
from upright.messages import Crashed, EngineOptions, StartFailed
from upright.supervise.diagnosis import Diagnosis
from upright.supervise.engine_process import EngineProcess
from upright.supervise.incidents.incident import Incident, RequestFacts, StepFacts
from upright.supervise.journal import Entry


@dataclass(frozen=True)
class Findings:
    """All that a report is made of, taken before anything goes on. Cheap to make; `report` does the rest."""

    id: str
    when: datetime
    diagnosis: Diagnosis
    serving: bool
    options: EngineOptions
    rung: int
    rung_name: str
    requests: list[RequestFacts]
    decision: list[str]
    tokens: int
    oom_kills: int | None
    crashed: Crashed | None
    refused: StartFailed | None
    pid: int
    uptime: float  # seconds
    step: StepFacts | None
    stacks: str
    log: list[str]
    resident_bytes: int | None

    def report(self) -> Incident:
        """The incident, explained. Blocks: it looks at the machine."""
        # Imported here: the first engine starts sooner without them, and most servers never write a report.
        from upright.supervise.incidents.environment import gather
        from upright.supervise.incidents.explain import explain

        crashed = self.crashed
        incident = Incident(
            id=self.id,
            when=self.when.isoformat(timespec="milliseconds"),
            zone=zone_line(self.when),
            serving=self.serving,
            cause=self.diagnosis.cause,
            how=self.diagnosis.how,
            signal=self.diagnosis.signal,
            exit_code=self.diagnosis.exit_code,
            exception=crashed.exception if crashed is not None else None,
            traceback=crashed.traceback if crashed is not None else "",
            stacks=self.stacks,
            log=self.log,
            step=self.step,
            requests=self.requests,
            rung=self.rung,
            rung_name=self.rung_name,
            pid=self.pid,
            uptime=self.uptime,
            tokens=self.tokens,
            resident_bytes=self.resident_bytes,
            oom_kills=self.oom_kills,
            start_failure=self.refused.message if self.refused is not None else None,
            environment=gather(self.options),
            decision=self.decision,
        )
        ruled_out, advice = explain(incident)
        if self.refused is not None and self.refused.advice:
            advice = [self.refused.advice, *advice]
        return msgspec.structs.replace(incident, ruled_out=ruled_out, advice=advice)


def in_step(reading: Reading | None) -> frozenset[str] | None:
    """Requests in the step, or in the decoder of images, that an engine died in; None if it died in neither."""
    if reading is None:
        return None
    record = reading.record
    decoding = frozenset(record.decoding)
    if record.phase == "step" and not reading.done:
        return decoding | {one.id for one in record.aboard}
    return decoding if record.phase == "decoding" and decoding else None


def step_facts(process: EngineProcess, reading: Reading | None) -> StepFacts | None:
    if reading is None:
        return None
    record = reading.record
    return StepFacts(
        phase=record.phase,
        number=record.step,
        done=reading.done,
        running_for=max(0.0, time.monotonic() - record.started),
        expected=record.expected,
        deadline=process.hang.deadline if process.hang is not None else None,
        sequences=len(record.aboard),
        tokens=sum(one.tokens for one in record.aboard),
        images=sum(one.images for one in record.aboard),
    )


def request_facts(
    entries: Iterable[Entry], aboard: frozenset[str], suspected: frozenset[str], content: bool
) -> list[RequestFacts]:
    """What was in flight. `content`: put prompts and outputs in, as token ids."""
    return [
        RequestFacts(
            id=entry.request.id,
            prompt_tokens=len(entry.request.prompt),
            output_tokens=len(entry.output),
            images=len(entry.request.images),
            image_tokens=sum(image.tokens for image in entry.request.images),
            aboard=entry.request.id in aboard,
            deaths=entry.deaths,
            suspected=entry.request.id in suspected,
            prompt=list(entry.request.prompt) if content else None,
            output=list(entry.output) if content else None,
        )
        for entry in entries
    ]
