"""Running a job and answering with it, whole or as a stream.

A stream's headers wait for its first token, so that everything that fails before it still gets a proper status.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from upright.api.disconnect import unless_gone
from upright.api.errors import ClientGone, describe
from upright.api.flight import launched
from upright.api.front import Front
from upright.api.job import Job

DONE = b"data: [DONE]\n\n"


async def answer(front: Front, job: Job) -> Response:
    """Raises: BadRequest, Overloaded, EngineUnavailable, EngineGone."""
    headers = {"x-request-id": job.id}
    if job.stream:
        events = _events(front, job)
        return EventStream(front, await anext(events), events, headers)
    with launched(front, job) as flight:
        answers = await flight.whole()
        return Response(job.form.whole(answers, flight.total_usage()), 200, headers, "application/json")


async def _events(front: Front, job: Job) -> AsyncGenerator[bytes, None]:
    form = job.form
    opened, ended = set[int](), 0
    with launched(front, job) as flight:
        async for index, delta in flight.deltas():
            usage = flight.usage(index) if job.continuous_usage else None
            event = form.chunk(index, delta, usage)
            if index not in opened:
                opened.add(index)
                event = form.opening(index, usage) + event
            if delta.finish_reason is not None:
                ended += 1
                if ended == len(job.requests):  # what ends the stream goes out together
                    last = form.usage_chunk(flight.total_usage()) if job.include_usage else b""
                    event += last + DONE
            if event:
                yield event


class EventStream(Response):
    """Server-sent events. A failure on the way is told in an `error` event, and then there is no `[DONE]`."""

    def __init__(
        self, front: Front, first: bytes, events: AsyncGenerator[bytes, None], headers: dict[str, str]
    ) -> None:
        kept = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(None, 200, headers | kept, "text/event-stream")
        del self.headers["content-length"]
        self._front = front
        self._first = first
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._write(send))
        except ClientGone:
            return
        finally:
            await self._events.aclose()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        try:
            async for event in self._events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except Exception as error:  # noqa: BLE001 - the status is out: the stream itself has to tell
            failure = describe(error)
            self._front.metrics.http_errors.labels(str(failure.status)).inc()
            await send({"type": "http.response.body", "body": b"data: " + failure.body + b"\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
