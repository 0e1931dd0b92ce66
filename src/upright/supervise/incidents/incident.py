"""An incident: everything that is known about one engine's death, as a value that outlives the front.

It is made for a person who was not there. Texts and token ids of requests are in it only where the operator asked for
them; every field that a later version adds needs a default, so that old reports can still be read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from upright.supervise.policy import Cause


class StepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine was doing, from its black box. Times in seconds."""

    phase: Literal["loading", "idle", "decoding", "step"]
    number: int
    done: bool  # the step was over; the engine was between two steps
    running_for: float
    expected: float
    deadline: float | None  # after its start, when the engine would be taken for hung; None: there was none
    sequences: int
    tokens: int
    images: int


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was in flight."""

    id: str
    prompt_tokens: int  # image tokens among them
    output_tokens: int
    images: int
    image_tokens: int
    aboard: bool  # it was in the step, or in the decoder of images, that the engine died in
    deaths: int  # engines that died with it on board, this one too
    suspected: bool
    prompt: list[int] | None = None  # token ids; only where the operator asked for content
    output: list[int] | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where it happened. Sizes in bytes, of main memory."""

    upright: str
    python: str
    torch: str  # the installed version; "" where none is
    platform: str
    cpu: str
    cores: int  # that this process may use
    memory_total: int
    memory_available: int  # when the report was made, so after the engine's own memory was free again
    driver: str | None = None  # of the GPU
    gpus: list[str] = msgspec.field(default_factory=list)
    model: str = ""
    options: dict[str, Any] = msgspec.field(default_factory=dict)  # EngineOptions


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How the next engine took over. Times in seconds, one after the other."""

    notice: float  # from its last sign of life until the front knew; the death was some time between
    take_over: float  # until another process had the work
    load: float
    replay: float  # until every request had its next token
    requests: int  # replayed
    tokens: int  # of output that they had and kept


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One engine's death."""

    id: str
    when: str  # ISO 8601 with the offset from UTC
    zone: str  # as `logs.zone_line` names it
    serving: bool  # False: it died while it was starting
    cause: Cause
    how: str  # "killed by SIGSEGV", "exit code 1", "stopped for 2.1 s", an exception; it may have several lines
    signal: str | None = None  # by name; where `how` is not "killed by …", SIGKILL was the front's own
    exit_code: int | None = None
    exception: str | None = None  # type and message
    traceback: str = ""
    stacks: str = ""  # of every thread, as faulthandler writes them
    log: list[str] = msgspec.field(default_factory=list)  # the engine's last lines
    step: StepFacts | None = None
    requests: list[RequestFacts] = msgspec.field(default_factory=list)
    rung: int = 0  # how far the configuration had been made smaller; 0: as the operator set it
    rung_name: str = ""
    pid: int
    uptime: float  # seconds
    tokens: int = 0  # that this engine produced
    resident_bytes: int | None = None  # main memory that it held when last seen
    oom_kills: int | None = None  # by the kernel since this engine started; None: cannot be read
    start_failure: str | None = None  # the engine's own word why it cannot start
    environment: Environment
    decision: list[str] = msgspec.field(default_factory=list)  # what was done about it, in sentences
    ruled_out: list[str] = msgspec.field(default_factory=list)
    advice: list[str] = msgspec.field(default_factory=list)
    recovery: Recovery | None = None  # filled in when the next engine serves


def new_incident_id(now: datetime) -> str:
    """`20261121-231522-3f9a`: the moment in UTC, then 65,536ths of the second, so that ids sort as time does."""
    moment = now.astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond * 2**16 // 10**6:04x}"
