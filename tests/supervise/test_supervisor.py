"""The supervisor with real processes that do nothing but behave well or badly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fake_engine
import psutil
import pytest

from upright.messages import EngineOptions, Loading, Request, SamplingParams
from upright.supervise import engine_process, supervisor
from upright.supervise.journal import EngineGone
from upright.supervise.policy import Death, GiveUp, History, Restart, after_death
from upright.supervise.service import EngineUnavailable, Overloaded
from upright.supervise.supervisor import Supervisor

GUARD = 60  # seconds after which a test that hangs is failed


@pytest.fixture(autouse=True)
def fake_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Engines are the fake one, restarts are not delayed, and nothing is left in the directory for temporary files."""

    def at_once(history: History, death: Death) -> tuple[History, Restart | GiveUp]:
        history, action = after_death(history, death)
        return history, Restart(0.0) if isinstance(action, Restart) else action

    monkeypatch.setattr(engine_process, "COMMAND", (sys.executable, fake_engine.__file__))
    monkeypatch.setattr(supervisor, "after_death", at_once)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def options(behaviour: str) -> EngineOptions:
    return EngineOptions(
        model_path=behaviour, device="cpu", dtype="float32", load_format="auto", max_model_len=99, max_num_seqs=2,
        max_num_batched_tokens=64, kv_cache_bytes=None, block_size=16, max_pixels=None, seed=0,
    )  # fmt: skip


@asynccontextmanager
async def running(behaviour: str = "serve", max_queue: int = 1, **more: Any) -> AsyncIterator[Supervisor]:
    others = children()
    made = Supervisor(options(behaviour), max_queue, **more)
    made.start()
    await made.settled()
    try:
        yield made
    finally:
        await made.stop()
        assert children() <= others, "an engine was left"


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def guarded(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), GUARD))


async def until(check: Callable[[], bool]) -> None:
    while not check():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


def ask(kind: int, name: str = "one") -> Request:
    return Request(id=name, prompt=[kind], params=SamplingParams(seed=0, max_tokens=9))


def test_a_request_is_journaled_served_and_dropped(fake_engines: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Loading] = []

    async def test() -> None:
        async with running(on_loading=told.append) as service:
            assert (service.state, service.ready) == ("ready", fake_engine.READY)
            assert os.listdir(fake_engines) == [], "the socket has no name any more once both ends are connected"
            entry = service.submit(ask(fake_engine.ANSWER))
            await entry.wait_past(1)
            assert entry.output[:2] == [1, 2]
            await entry.finished()
            assert (entry.output, entry.finish, entry.deaths) == ([1, 2, 3], "length", 0)
            assert service.stats == fake_engine.STATS
            service.release("one")
            assert await service.drain(GUARD) == 0
            assert service.state == "draining"

    guarded(test)
    assert told == [Loading("importing", 0, 0)]
    error = capfd.readouterr().err
    assert "a line of the engine's log" in error
    assert "aborted" not in error


def test_a_released_request_is_aborted(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with running() as service:
            entry = service.submit(ask(fake_engine.HOLD))
            await entry.wait_past(0)
            service.release("one")
            service.release("one")
            answered = service.submit(ask(fake_engine.ANSWER, "two"))
            await answered.finished()
            service.release("two")

    guarded(test)
    assert capfd.readouterr().err.count("aborted one") == 1


def test_a_death_loses_what_was_in_flight_and_nothing_later() -> None:
    async def test() -> None:
        async with running() as service:
            first = service.engine_pid
            bystander = service.submit(ask(fake_engine.HOLD, "bystander"))
            await bystander.wait_past(0)
            guilty = service.submit(ask(fake_engine.DIE, "guilty"))
            for entry in (bystander, guilty):
                with pytest.raises(EngineGone, match="SIGKILL") as caught:
                    await entry.finished()
                assert caught.value.retry_after >= 1
                assert (entry.output, entry.deaths) == ([1, 2], 1)
                service.release(entry.request.id)
            assert service.state == "recovering"
            assert (service.ready, service.stats) == (None, None)
            assert service.retry_after >= 1
            with pytest.raises(EngineUnavailable, match="another is starting"):
                service.submit(ask(fake_engine.ANSWER))
            await until(lambda: service.state == "ready")
            assert service.engine_pid not in (None, first)
            assert service.deaths == 1
            after = service.submit(ask(fake_engine.ANSWER))
            await after.finished()
            service.release("one")

    guarded(test)


def test_the_last_words_of_an_engine_count() -> None:
    """An answer that was whole when the engine died is no loss."""

    async def test() -> None:
        async with running() as service:
            for _ in range(5):
                await until(lambda: service.state == "ready")
                entry = service.submit(ask(fake_engine.ANSWER_AND_DIE))
                await entry.finished()
                assert (entry.output, entry.finish, entry.lost) == ([1, 2, 3], "length", None)
                service.release("one")
                await until(lambda: service.state != "ready")

    guarded(test)


def test_what_cannot_be_decoded_ends_the_engine() -> None:
    async def test() -> None:
        async with running() as service:
            entry = service.submit(ask(fake_engine.BABBLE))
            with pytest.raises(EngineGone):
                await entry.finished()
            service.release("one")
            await until(lambda: service.state == "ready")

    guarded(test)


def test_a_refusal_at_start_is_final_and_told() -> None:
    async def test() -> None:
        async with running("refuse") as service:
            assert (service.state, service.deaths) == ("failed", 1)
            assert service.failure == "the weights are of the wrong colour; paint them"
            with pytest.raises(EngineUnavailable, match="wrong colour"):
                service.admit(1)

    guarded(test)


def test_engines_that_never_serve_are_given_up() -> None:
    async def test() -> None:
        async with running("crash") as service:
            assert (service.state, service.deaths) == ("failed", 3)
            assert "3 engines in a row" in service.failure
            assert "exit code 3" in service.failure

    guarded(test)


def test_a_machine_that_starts_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "COMMAND", ("/no/such/program",))

    async def test() -> None:
        async with running() as service:
            assert service.state == "failed"
            assert "/no/such/program" in service.failure

    guarded(test)


def test_the_queue_has_an_end() -> None:
    async def test() -> None:
        async with running(max_queue=1) as service:
            for name in ("one", "two", "waiting"):  # two run, one may wait
                service.submit(ask(fake_engine.HOLD, name))
            with pytest.raises(Overloaded, match="1 requests wait, the limit is 1") as caught:
                service.submit(ask(fake_engine.HOLD, "four"))
            assert caught.value.retry_after >= 1
            service.release("one")
            service.admit(1)
            with pytest.raises(Overloaded):
                service.admit(2)
            service.release("two")
            service.release("waiting")

    guarded(test)


def test_a_drain_waits_for_the_last_request() -> None:
    async def test() -> None:
        async with running() as service:
            service.submit(ask(fake_engine.HOLD))
            draining = asyncio.create_task(service.drain(GUARD))
            await until(lambda: service.state == "draining")
            with pytest.raises(EngineUnavailable, match="shutting down"):
                service.submit(ask(fake_engine.ANSWER, "two"))
            assert not draining.done()
            service.release("one")
            assert await draining == 0

    guarded(test)


def test_a_drain_ends_with_its_patience() -> None:
    async def test() -> None:
        async with running() as service:
            entry = service.submit(ask(fake_engine.HOLD))
            assert await service.drain(0.01) == 1
            service.give_up_requests()
            with pytest.raises(EngineGone, match="shutting down"):
                await entry.finished()
            service.release("one")

    guarded(test)


def test_an_engine_that_dies_while_draining_is_not_replaced() -> None:
    async def test() -> None:
        async with running() as service:
            entry = service.submit(ask(fake_engine.HOLD))
            draining = asyncio.create_task(service.drain(GUARD))
            await until(lambda: service.state == "draining")
            assert service.engine_pid is not None
            os.kill(service.engine_pid, signal.SIGKILL)
            with pytest.raises(EngineGone, match="shutting down"):
                await entry.finished()
            service.release("one")
            assert await draining == 0
            assert service.engine_pid is None

    guarded(test)


def test_an_engine_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_GRACE", 0.05)

    async def test() -> None:
        async with running("deaf") as service:
            assert service.state == "ready"  # that it has gone is proven on the way out

    guarded(test)


def test_a_stop_while_the_engine_starts() -> None:
    async def test() -> None:
        others = children()
        service = Supervisor(options("serve"), 1)
        service.start()
        await until(lambda: service.engine_pid is not None)
        await service.stop()
        assert children() <= others

    guarded(test)


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-200, "killed by signal 200")],
)
def test_how_an_engine_ended_in_words(code: int, text: str) -> None:
    assert engine_process.describe_exit(code) == text


def test_a_long_path_for_temporary_files_gets_a_shorter_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    made = engine_process.private_directory()
    try:
        assert len(str(made)) < engine_process.MAX_SOCKET_PATH
        assert made.stat().st_mode & 0o777 == 0o700
    finally:
        made.rmdir()
        deep.rmdir()
