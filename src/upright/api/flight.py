"""The sequences of one HTTP request while they are in the journal; whatever happens, none stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from upright.api.front import Front
from upright.api.job import Job, Usage
from upright.chat.generation import TextDelta, stream_text, whole_text
from upright.supervise.journal import Entry


@dataclass(frozen=True)
class Flight:
    front: Front
    job: Job
    entries: list[Entry] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # tokens of each answer that are the client's
    reasons: dict[int, str] = field(default_factory=dict)  # how each answer ended

    def usage(self, index: int) -> Usage:
        """Of one choice alone."""
        entry = self.entries[index]
        return Usage(len(entry.request.prompt), self.counts[index], entry.cached_tokens)

    def total_usage(self) -> Usage:
        """Of the whole request: each prompt counts once."""
        firsts = self.entries[:: self.job.answers_each]
        return Usage(
            sum(len(entry.request.prompt) for entry in firsts),
            sum(self.counts),
            sum(entry.cached_tokens for entry in firsts),
        )

    async def whole(self) -> list[TextDelta]:
        """Every answer, whole. Raises: as `whole_text`, the first failure."""
        if len(self.entries) == 1:
            return [await self._whole(0)]
        tasks = [asyncio.ensure_future(self._whole(index)) for index in range(len(self.entries))]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            await _cancel(tasks)

    async def deltas(self) -> AsyncIterator[tuple[int, TextDelta]]:
        """Deltas of all answers as they come, each with the index of its choice. Raises: as `stream_text`."""
        streams = [self._deltas(index) for index in range(len(self.entries))]
        if len(streams) == 1:
            async for delta in streams[0]:
                yield 0, delta
            return
        pending = {asyncio.ensure_future(_next(stream)): index for index, stream in enumerate(streams)}
        try:
            while pending:
                done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=pending.__getitem__):
                    index = pending.pop(task)
                    found = task.result()
                    if found is not None:
                        pending[asyncio.ensure_future(_next(streams[index]))] = index
                        yield index, found
        finally:
            await _cancel(list(pending))

    async def _whole(self, index: int) -> TextDelta:
        tokenizer = self.front.context.tokenizer
        answer = await whole_text(self.entries[index], self.job.options, tokenizer, lambda: self._release(index))
        self.counts[index] = len(answer.token_ids)
        self.reasons[index] = answer.finish_reason or "stop"
        return answer

    async def _deltas(self, index: int) -> AsyncIterator[TextDelta]:
        tokenizer = self.front.context.tokenizer
        stream = stream_text(self.entries[index], self.job.options, tokenizer, lambda: self._release(index))
        async for delta in stream:
            self.counts[index] += len(delta.token_ids)
            if delta.finish_reason is not None:
                self.reasons[index] = delta.finish_reason
            yield delta

    def _release(self, index: int) -> None:
        self.front.service.release(self.entries[index].request.id)


@contextmanager
def launched(front: Front, job: Job) -> Iterator[Flight]:
    """Submit every sequence of a job; release and count them all when the block is left, however it is left.

    Raises: Overloaded, EngineUnavailable.
    """
    flight = Flight(front, job)
    try:
        for request in job.requests:
            flight.entries.append(front.service.submit(request))
            flight.counts.append(0)
        yield flight
    finally:
        for index, entry in enumerate(flight.entries):
            front.service.release(entry.request.id)
            failed = "error" if entry.finish == "error" or entry.lost is not None else "abort"
            front.metrics.sequence_ended(entry, flight.reasons.get(index, failed))


async def _next(stream: AsyncIterator[TextDelta]) -> TextDelta | None:
    return await anext(stream, None)


async def _cancel(tasks: list[asyncio.Task[TextDelta]] | list[asyncio.Task[TextDelta | None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
