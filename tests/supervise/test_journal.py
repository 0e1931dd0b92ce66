"""Entries wake the right reader at the right time, and never tell more than there is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from upright.messages import Request, RequestFault, SamplingParams, SequenceOutput, TokenLogprobs
from upright.supervise.journal import EngineGone, Entry, Journal


def request(name: str = "one", output: tuple[int, ...] = ()) -> Request:
    return Request(id=name, prompt=[7, 8], params=SamplingParams(seed=0, max_tokens=9), output=list(output))


def update(*tokens: int, **more: Any) -> SequenceOutput:
    return SequenceOutput(id="one", tokens=list(tokens), **more)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


async def turns(count: int = 3) -> None:
    """Let every task that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_reader_gets_what_came_between_two_reads_together() -> None:
    async def test() -> None:
        entry = Entry(request())
        reads: list[list[int]] = []

        async def read() -> None:
            cursor = 0
            while not entry.done:
                await entry.wait_past(cursor)
                reads.append(entry.output[cursor:])
                cursor = len(entry.output)

        reader = asyncio.create_task(read())
        await turns()
        entry.append(update(1), 1.0)
        entry.append(update(2, 3), 2.0)
        await turns()
        entry.append(update(4, finish="stop"), 3.0)
        await reader
        assert reads == [[1, 2, 3], [4]]
        assert (entry.first_token, entry.last_token) == (1.0, 3.0)

    run(test())


def test_a_reader_with_its_tokens_there_does_not_wait() -> None:
    async def test() -> None:
        entry = Entry(request())
        entry.append(update(1, 2), 1.0)
        await entry.wait_past(1)

    run(test())


def test_a_reader_of_the_whole_sleeps_until_the_end() -> None:
    async def test() -> None:
        entry = Entry(request())
        whole = asyncio.create_task(entry.finished())
        await turns()
        for token in range(5):
            entry.append(update(token), 1.0)
            await turns()
            assert not whole.done()
        entry.append(update(finish="length"), 2.0)
        await whole
        assert entry.output == [0, 1, 2, 3, 4]
        assert entry.last_token == 1.0, "an update without tokens is no token"

    run(test())


def test_a_loss_is_raised_to_who_waits_and_who_comes_later() -> None:
    async def test() -> None:
        entry = Entry(request())
        entry.append(update(1), 1.0)
        waiting = asyncio.create_task(entry.wait_past(1))
        await turns()
        entry.lose(EngineGone("it has gone", 5))
        with pytest.raises(EngineGone, match="it has gone"):
            await waiting
        with pytest.raises(EngineGone) as caught:
            await entry.wait_past(0)
        assert caught.value.retry_after == 5
        assert entry.done
        assert entry.output == [1]

    run(test())


def test_a_reader_that_is_cancelled_can_be_followed_by_another() -> None:
    async def test() -> None:
        entry = Entry(request())
        first = asyncio.create_task(entry.wait_past(0))
        await turns()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        entry.append(update(1), 1.0)
        await entry.wait_past(0)

    run(test())


def test_what_an_update_brings_is_kept() -> None:
    entry = Entry(request())
    logprobs = TokenLogprobs(-0.5, 1, [(1, -0.5)])
    entry.append(update(1, logprobs=[logprobs], cached_tokens=16), 1.0)
    entry.append(update(finish="error", fault=RequestFault("invalid_image", "broken")), 2.0)
    assert (entry.logprobs, entry.cached_tokens) == ([logprobs], 16)
    assert entry.fault == RequestFault("invalid_image", "broken")
    assert entry.done


def test_recovered_output_stays_apart_from_the_prompt() -> None:
    asked = request(output=(1, 2))
    entry = Journal().open(asked)
    entry.append(update(3), 1.0)
    assert entry.output == [1, 2, 3]
    assert (asked.prompt, asked.output) == ([7, 8], [1, 2]), "the request is not changed by its answer"


def test_the_journal_keeps_the_order_of_arrival() -> None:
    journal = Journal()
    for name in ("c", "a", "b"):
        journal.open(request(name))
    assert [entry.request.id for entry in journal] == ["c", "a", "b"]
    with pytest.raises(ValueError, match="a is already in the journal"):
        journal.open(request("a"))
    for entry in journal:  # entries may be closed on the way
        journal.close(entry.request.id)
    assert len(journal) == 0
    assert journal.close("a") is None
    assert journal.get("a") is None
