"""The sequences of one HTTP request while they are in the journal; whatever happens, none stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from upright.api.front import Front
from upright.api.job import Job, Usage
from upright.chat.generation import TextDelta, TextReader, whole_text
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
        """Deltas of all answers as they come, each with the index of its choice. Raises: as `TextReader`."""
        readers = [self._reader(index) for index in range(len(self.entries))]
        if len(readers) == 1:
            (reader,) = readers
            while not reader.ended:
                await reader.wait()
                yield 0, self._read(0, reader)
            return
        pending = {asyncio.ensure_future(reader.wait()): index for index, reader in enumerate(readers)}
        try:
            while pending:
                done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=pending.__getitem__):
                    index = pending.pop(task)
                    task.result()
                    delta = self._read(index, readers[index])
                    if not readers[index].ended:
                        pending[asyncio.ensure_future(readers[index].wait())] = index
                    yield index, delta
        finally:
            await _cancel(pending)

    async def _whole(self, index: int) -> TextDelta:
        tokenizer, params = self.front.context.tokenizer, self.job.image_params(index)
        answer = await whole_text(
            self.entries[index], self.job.options, tokenizer, params, lambda: self._release(index)
        )
        self.counts[index] = len(answer.token_ids)
        self.reasons[index] = answer.finish_reason or "stop"
        return answer

    def _reader(self, index: int) -> TextReader:
        tokenizer, params = self.front.context.tokenizer, self.job.image_params(index)
        return TextReader(self.entries[index], self.job.options, tokenizer, params, lambda: self._release(index))

    def _read(self, index: int, reader: TextReader) -> TextDelta:
        delta = reader.read()
        self.counts[index] += len(delta.token_ids)
        if delta.finish_reason is not None:
            self.reasons[index] = delta.finish_reason
        return delta

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


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
