"""The inquest into an engine that has ended: what it left behind, taken before a successor changes any of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from upright.engine.black_box import Reading
from upright.supervise.diagnosis import Diagnosis, Remains, diagnose
from upright.supervise.engine_process import EngineProcess
from upright.supervise.incidents.autopsy import Findings, in_step, request_facts, step_facts
from upright.supervise.incidents.incident import new_incident_id
from upright.supervise.journal import Entry
from upright.supervise.keeper import Keeper
from upright.supervise.rungs import Rung


@dataclass(frozen=True)
class Inquest:
    """Held while the engine's files can still be read: before `EngineProcess.bury`."""

    incident: str
    when: datetime
    now: float  # the same, of time.monotonic
    process: EngineProcess
    remains: Remains
    diagnosis: Diagnosis
    reading: Reading | None
    served: bool
    struck: frozenset[str] | None  # requests in the step that it died in; None: it died in none
    aboard: frozenset[str]  # requests that it may have died of
    entries: tuple[Entry, ...]  # of all that was in flight
    tokens: int  # that it had made

    @classmethod
    def into(cls, process: EngineProcess, remains: Remains, keeper: Keeper) -> Inquest:
        """`keeper`: before it knows."""
        when = datetime.now().astimezone()
        reading = process.read_black_box()
        struck = in_step(reading)
        return cls(
            incident=new_incident_id(when),
            when=when,
            now=time.monotonic(),
            process=process,
            remains=remains,
            diagnosis=diagnose(remains),
            reading=reading,
            served=keeper.serving,
            struck=struck,
            aboard=frozenset(keeper.aboard) if struck is None else struck,
            entries=tuple(entry for entry in keeper.journal if not entry.done),
            tokens=keeper.engine_tokens,
        )

    @property
    def last_sign(self) -> float:
        """Of life, of time.monotonic."""
        return max(self.reading.beat if self.reading is not None else self.now, self.process.last_message)

    def findings(
        self, number: int, rung: Rung, suspected: frozenset[str], decision: list[str], content: bool
    ) -> Findings:
        """For the report. `number` of `rung`, on which it ran; `content`: put prompts and outputs in."""
        process = self.process
        return Findings(
            id=self.incident, when=self.when, diagnosis=self.diagnosis, serving=self.served, options=rung.options,
            rung=number, rung_name=rung.name, decision=decision, tokens=self.tokens,
            requests=request_facts(self.entries, self.aboard, suspected, content), oom_kills=self.remains.oom_kills,
            crashed=self.remains.crashed, refused=self.remains.refused, pid=process.pid,
            uptime=self.now - process.started, step=step_facts(process, self.reading), stacks=process.read_stacks(),
            log=list(process.last_lines), resident_bytes=process.resident_bytes,
        )  # fmt: skip
