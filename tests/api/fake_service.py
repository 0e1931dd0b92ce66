"""An engine that answers from a script, behind the real journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from upright.messages import EngineStats, Ready, Request, RequestFault, SequenceOutput, TokenLogprobs
from upright.supervise.journal import Entry, Journal, RequestLost
from upright.supervise.service import (
    EngineState,
    EngineStatus,
    EngineUnavailable,
    LastDeath,
    NeverAdmitted,
    Overloaded,
    Status,
)

Step = list[int] | RequestFault | RequestLost | str  # "hang" waits for ever, "abort" ends the request
Script = Callable[[Request], list[Step]]


@dataclass
class FakeService:
    """Implements `EngineService`. A script's tokens end as an engine would end them: at an end token or a length."""

    script: Script
    state: EngineState = "ready"
    ready: Ready | None = None
    retry_after: int = 3
    limit: int = 1000
    others: int = 0  # sequences that are there besides those in the journal
    journal: Journal = field(default_factory=Journal)
    requests: list[Request] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self.journal), waiting=0, blocks_used=3, blocks_cached=4, blocks_total=12, preemptions=5,
            prefix_queried_tokens=100, prefix_hit_tokens=60, steps=7, prefill_tokens=80, decode_tokens=90,
            images_encoded=2,
        )  # fmt: skip

    def status(self) -> Status:
        ready = self.state == "ready"
        return Status(
            state=self.state, reason="" if ready else f"the engine is {self.state}",
            retry_after=None if ready else self.retry_after, rung=1, rung_name="small steps",
            rungs=("full", "small steps"), engines=(EngineStatus(0, 77, "ready"),), standby=None,
            in_flight=len(self.journal), on_trial=0, deaths=2, recoveries=1, recovery_seconds=1.5, replays=6,
            recovered_tokens=40, last_death=LastDeath("2026-11-21T20:00:00.000+00:00", "20261121-200000-0000"),
        )  # fmt: skip

    def admit(self, sequences: int) -> None:
        if self.state != "ready":
            raise EngineUnavailable(f"the engine is {self.state}", self.retry_after)
        if sequences > self.limit:
            raise NeverAdmitted(sequences, self.limit, 0)
        if len(self.journal) + self.others + sequences > self.limit:
            raise Overloaded(len(self.journal) + self.others, self.limit, self.retry_after)

    def submit(self, request: Request) -> Entry:
        self.admit(1)
        entry = self.journal.open(request)
        self.requests.append(request)
        task = asyncio.get_running_loop().create_task(self._run(entry))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return entry

    def release(self, request_id: str) -> None:
        self.journal.close(request_id)
        self.released.append(request_id)

    async def _run(self, entry: Entry) -> None:
        params = entry.request.params
        for step in self.script(entry.request):
            await asyncio.sleep(0)
            if self.journal.get(entry.request.id) is None:
                return
            if step == "hang":
                return
            if isinstance(step, RequestLost):
                entry.lose(step)
                return
            if isinstance(step, RequestFault):
                entry.append(
                    SequenceOutput(id=entry.request.id, tokens=[], finish="error", fault=step), time.monotonic()
                )
                return
            if step == "abort":
                entry.append(SequenceOutput(id=entry.request.id, tokens=[], finish="abort"), time.monotonic())
                return
            assert isinstance(step, list)
            tokens, finish = [], None
            for token in step:
                tokens.append(token)
                if token in params.end_token_ids:
                    finish = "stop"
                elif len(entry.output) + len(tokens) == params.max_tokens:
                    finish = "length"
                if finish:
                    break
            logprobs = [fake_logprobs(token) for token in tokens] if params.logprobs is not None else []
            entry.append(
                SequenceOutput(
                    id=entry.request.id, tokens=tokens, logprobs=logprobs, finish=finish,  # type: ignore[arg-type]
                    cached_tokens=None if entry.output else 2,
                ),
                time.monotonic(),
            )  # fmt: skip
            if finish:
                return


def fake_logprobs(token: int) -> TokenLogprobs:
    return TokenLogprobs(-0.5, 1, [(token, -0.5), (token + 1, -1.5), (token + 2, float("-inf"))])
