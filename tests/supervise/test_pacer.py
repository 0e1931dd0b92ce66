"""Many readers are woken together; nothing of what they are told is lost or out of order, and no end comes late."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from upright.messages import PlainTokens, Request, SamplingParams, SequenceOutput
from upright.supervise import pacer as pacer_module
from upright.supervise.journal import Entry, RequestLost
from upright.supervise.keeper import Keeper
from upright.supervise.pacer import FEW, Pacer
from upright.supervise.policy import State

MANY = 4 * FEW


class Readers:
    """So many streams of one keeper, and what each has read, read by read."""

    def __init__(self, count: int) -> None:
        self.keeper = Keeper(State(), lambda message: None, Pacer().rouse)
        self.keeper.engine_serves(0.0)
        self.reads: dict[str, list[list[int]]] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.told = 0  # tokens of each
        self.names = [f"r{number}" for number in range(count)]
        for name in self.names:
            self.join(name)

    def join(self, name: str) -> None:
        self.keeper.submit(Request(id=name, prompt=[1], params=SamplingParams(seed=0, max_tokens=999)), 0.0)
        self.reads[name] = []
        self.tasks.append(asyncio.create_task(self._read(name)))

    async def _read(self, name: str) -> None:
        entry = self.entry(name)
        cursor = 0
        while not entry.done or cursor < len(entry.output):
            await entry.wait_past(cursor)
            self.reads[name].append(entry.output[cursor:])
            cursor = len(entry.output)

    def entry(self, name: str) -> Entry:
        entry = self.keeper.journal.get(name)
        assert entry is not None
        return entry

    def first(self) -> None:
        """The first tokens, which come in the long form."""
        self.keeper.take([SequenceOutput(id=name, tokens=[0], cached_tokens=0) for name in self.names], 1.0)
        self.told = 1

    def step(self) -> None:
        """One more token for each."""
        count = len(self.names)
        plain = PlainTokens(list(self.names), [self.told] * count, [0] * count, [self.told] * count)
        self.keeper.take([], 2.0, plain)
        self.told += 1

    def finish(self, name: str) -> None:
        self.keeper.take([SequenceOutput(id=name, tokens=[self.told], at=self.told, finish="length")], 3.0)


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


@pytest.fixture
def endless_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a round with many readers there is never another."""
    monkeypatch.setattr(pacer_module, "CLIENT_SECONDS", 3600.0)
    monkeypatch.setattr(pacer_module, "LONGEST_REST", 3600.0)


@pytest.mark.usefixtures("endless_rest")
def test_a_few_readers_get_each_token_at_once() -> None:
    async def test() -> None:
        readers = Readers(FEW)
        await turns()
        readers.first()
        for _ in range(5):
            await turns()
            readers.step()
        await turns()
        assert all(reads == [[0], [1], [2], [3], [4], [5]] for reads in readers.reads.values())
        for name in readers.names:
            readers.finish(name)
        await asyncio.gather(*readers.tasks)

    run(test())


@pytest.mark.usefixtures("endless_rest")
def test_among_many_readers_tokens_wait_and_first_tokens_and_ends_do_not() -> None:
    async def test() -> None:
        readers = Readers(MANY)
        await turns()
        readers.first()
        await turns()
        assert all(reads == [[0]] for reads in readers.reads.values())
        readers.step()  # the round after which there is none
        await turns()
        for _ in range(3):
            readers.step()
            await turns()
        assert all(reads == [[0], [1]] for reads in readers.reads.values())
        readers.finish("r0")
        await turns()
        assert readers.reads["r0"] == [[0], [1], [2, 3, 4, 5]]
        assert readers.reads["r1"] == [[0], [1]]
        readers.join("late")
        await turns()
        readers.keeper.take([SequenceOutput(id="late", tokens=[0], cached_tokens=0)], 4.0)
        await turns()
        assert readers.reads["late"] == [[0]]
        for task in readers.tasks:
            task.cancel()

    run(test())


@pytest.mark.usefixtures("endless_rest")
def test_a_loss_does_not_wait() -> None:
    async def test() -> None:
        readers = Readers(MANY)
        await turns()
        readers.first()
        await turns()
        readers.step()
        await turns()
        readers.step()
        readers.keeper.lose_all(RequestLost("it is over"))
        results = await asyncio.gather(*readers.tasks, return_exceptions=True)
        assert all(isinstance(result, RequestLost) for result in results)

    run(test())


def test_whatever_the_pace_each_reader_gets_every_token_in_order() -> None:
    async def test() -> None:
        readers = Readers(MANY)
        await turns()
        readers.first()
        for number in range(200):
            readers.step()
            if number % 3 == 0:
                await turns(number % 5)
        await asyncio.sleep(2 * pacer_module.LONGEST_REST)
        readers.step()  # somebody may be at rest and be woken by what comes next only
        for name in readers.names:
            readers.finish(name)
        await asyncio.gather(*readers.tasks)
        for reads in readers.reads.values():
            assert [token for read in reads for token in read] == list(range(203))
            assert len(reads) < 203

    run(test())


@pytest.mark.usefixtures("endless_rest")
def test_a_reader_that_left_and_one_that_follows_it() -> None:
    async def test() -> None:
        readers = Readers(MANY)
        await turns()
        readers.first()
        await turns()
        readers.step()
        await turns()
        readers.step()  # everybody is due
        readers.tasks[0].cancel()
        await turns()
        entry = readers.entry("r0")
        await entry.wait_past(2)  # what is there is there
        following = asyncio.create_task(entry.wait_past(3))
        await turns()
        readers.step()
        readers.finish("r0")
        await following
        for task in readers.tasks:
            task.cancel()

    run(test())
