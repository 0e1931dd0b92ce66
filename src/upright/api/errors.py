"""Every failure as OpenAI's clients expect it: `{"error": {…}}` and the right status."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field

import orjson
from starlette.responses import Response

from upright.chat.errors import BadRequest, ServerFault
from upright.supervise.journal import CrashesEngine, DeadlinePassed, EngineGone
from upright.supervise.service import EngineUnavailable, Overloaded

log = logging.getLogger(__name__)

TYPES = {
    401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 503: "service_unavailable",
    504: "timeout",
}  # fmt: skip


class ClientGone(Exception):
    """The client has closed its connection; nobody is there to be answered."""


class ApiError(Exception):
    """An answer that is an error, from a place that knows its status."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.failure = Failure(status, message, None, code, headers or {})


@dataclass(frozen=True)
class Failure:
    """An error as it goes to a client."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return orjson.dumps({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})

    def response(self) -> Response:
        return Response(self.body, self.status, self.headers, "application/json")


def describe(error: Exception) -> Failure:
    """What a client is told of an exception. One that nobody foresaw is logged under an id and told by that id only."""
    match error:
        case BadRequest():
            return Failure(400, error.message, error.param, error.code)
        case ApiError():
            return error.failure
        case Overloaded():
            return Failure(429, str(error), None, "queue_full", {"retry-after": str(error.retry_after)})
        case EngineUnavailable():
            return Failure(503, str(error), None, "engine_unavailable", {"retry-after": str(error.retry_after)})
        case EngineGone():
            return Failure(503, str(error), None, "engine_gone", {"retry-after": str(error.retry_after)})
        case DeadlinePassed():
            return Failure(504, str(error), None, "timeout")
        case CrashesEngine():  # OpenAI's clients repeat a 500 unless they are told not to
            return Failure(500, str(error), None, "request_crashes_engine", {"x-should-retry": "false"})
        case ServerFault():  # nor would the next try end otherwise here
            return Failure(500, str(error), None, error.code, {"x-should-retry": "false"})
        case ClientGone():
            return Failure(499, "the client closed the connection", None, "client_gone")
    incident = uuid.uuid4().hex[:12]
    log.error("a request met a bug, incident %s", incident, exc_info=error)
    return Failure(500, f"the server met a bug of its own; its log has it under {incident}", None, "internal_error")
