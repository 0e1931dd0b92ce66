"""The supervisor with real processes that do nothing but behave well or badly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_engine
import psutil
import pytest

from upright.messages import EngineOptions, Loading, Request, SamplingParams
from upright.supervise import engine_process, policy, standby, supervisor, watch
from upright.supervise.journal import CrashesEngine, DeadlinePassed, EngineGone, Entry
from upright.supervise.learned import Lessons, fingerprint
from upright.supervise.rungs import ladder
from upright.supervise.service import EngineStatus, EngineUnavailable, NeverAdmitted, Overloaded
from upright.supervise.supervisor import Care, Supervisor

GUARD = 120  # seconds after which a test that hangs is failed
PATIENCE = 60.0  # seconds; where no engine hangs, none is taken to, however slow the machine
TOKENS = 9  # of an answer
WHOLE = list(range(1, TOKENS + 1))


@pytest.fixture(autouse=True)
def fake_engines(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Engines are the fake one, nothing is waited for, and nothing is left in the directory for temporary files."""
    temporary = tmp_path_factory.mktemp("t")  # a short name, so that sockets find room in it
    monkeypatch.setattr(engine_process, "COMMAND", (sys.executable, fake_engine.__file__))
    monkeypatch.setattr(policy, "_backoff", lambda count: 0.0)
    monkeypatch.setattr(standby, "DELAY", 0.0)
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watch, "STOPPED_SECONDS", 0.1)
    monkeypatch.setattr(engine_process, "DYING_SECONDS", PATIENCE)  # a slow end is no hang
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield temporary
    assert list(temporary.iterdir()) == []


def options(behaviour: str) -> EngineOptions:
    return EngineOptions(
        model_path=behaviour, device="cpu", dtype="float32", load_format="auto", max_model_len=99, max_num_seqs=2,
        max_num_batched_tokens=64, kv_cache_bytes=None, block_size=16, max_pixels=None, seed=0,
    )  # fmt: skip


@asynccontextmanager
async def running(
    behaviour: str = "serve", lessons: Lessons | None = None, on_loading: Callable[[Loading], None] = lambda _: None,
    **care: Any,
) -> AsyncIterator[Supervisor]:  # fmt: skip
    others = children()
    wanted = replace(Care(max_queue=9, patience=PATIENCE), **care)
    made = Supervisor(ladder(options(behaviour)), wanted, lessons, on_loading)
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


async def until(check: Callable[[], Any]) -> None:
    while not check():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


def is_waiting(standby: EngineStatus | None) -> bool:
    """Whether all that it takes to start has been done for it."""
    return standby is not None and standby.state == "waiting"


def ask(kind: int, name: str = "one", *more: int, tokens: int = TOKENS) -> Request:
    return Request(id=name, prompt=[kind, *more], params=SamplingParams(seed=0, max_tokens=tokens))


async def answered(service: Supervisor, kind: int, name: str = "one", *more: int) -> Entry:
    entry = service.submit(ask(kind, name, *more))
    await entry.finished()
    service.release(name)
    return entry


def reports(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))]


def test_a_request_is_journaled_served_and_dropped(fake_engines: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Loading] = []

    async def test() -> None:
        async with running(on_loading=told.append, standby=False) as service:
            assert (service.state, service.ready) == ("ready", fake_engine.READY)
            assert os.listdir(fake_engines) == [], "the socket has no name any more once both ends are connected"
            entry = service.submit(ask(fake_engine.ANSWER))
            await entry.finished()
            assert (entry.output, entry.finish, entry.deaths) == (WHOLE, "length", 0)
            assert service.stats == fake_engine.STATS
            service.release("one")
            assert await service.drain(GUARD) == 0
            assert service.state == "draining"

    guarded(test)
    assert told == [Loading("importing", 0, 0), Loading("weights", 1, 2, "B")]
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
            await answered(service, fake_engine.ANSWER, "two")

    guarded(test)
    assert capfd.readouterr().err.count("aborted one") == 1


@pytest.mark.parametrize("with_standby", [True, False], ids=["standby", "no-standby"])
@pytest.mark.parametrize(
    ("kind", "cause", "how"),
    [
        (fake_engine.KILL, "outside", "killed by SIGKILL"),
        (fake_engine.SEGV, "crash", "killed by SIGSEGV"),
        (fake_engine.RAISE, "crash", "ValueError: no"),
        (fake_engine.STOP, "outside", "stopped for"),
        (fake_engine.SPIN, "hang", "does not end after"),
        (fake_engine.BABBLE, "crash", "what the front cannot handle"),
        (fake_engine.SKIP, "crash", "token 1 of request guilty, whose next one is 0"),
        (fake_engine.HANG_UP, "crash", "closed its socket"),
    ],
    ids=["kill", "segv", "raise", "stop", "spin", "babble", "skip", "hang-up"],
)
def test_a_death_costs_nobody_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int, cause: str, how: str, with_standby: bool
) -> None:
    incidents = tmp_path / "incidents"
    patience = 2.0 if kind == fake_engine.SPIN else PATIENCE
    if kind == fake_engine.HANG_UP:
        monkeypatch.setattr(engine_process, "DYING_SECONDS", 0.1)

    async def test() -> None:
        async with running(standby=with_standby, incidents=incidents, patience=patience) as service:
            if with_standby:
                await until(lambda: service.status().standby)
            first = service.engine_pid
            bystander = service.submit(ask(fake_engine.HOLD, "bystander"))
            await bystander.wait_past(1)
            guilty = service.submit(ask(kind, "guilty"))
            await until(lambda: service.status().deaths == 1)
            late = service.submit(ask(fake_engine.ANSWER, "late"))
            await guilty.finished()
            assert (guilty.output, guilty.finish, guilty.deaths) == (WHOLE, "length", 1)
            await late.finished()
            assert (late.output, late.deaths) == (WHOLE, 0)
            assert bystander.output == [1, 2]
            assert service.engine_pid not in (None, first)
            for entry in (bystander, guilty, late):
                service.release(entry.request.id)
            status = service.status()
            assert (status.state, status.deaths, status.replays) == ("ready", 1, 2)
            await until(lambda: service.status().recoveries == 1)
            assert service.status().last_death is not None

    guarded(test)
    (report,) = reports(incidents)
    assert report["cause"] == cause
    assert how in report["how"]
    assert {one["id"] for one in report["requests"]} == {"bystander", "guilty"}
    assert all(one["prompt"] is None for one in report["requests"])
    assert report["recovery"]["requests"] == 2
    if kind == fake_engine.RAISE:
        assert report["exception"] == "ValueError: no"
    assert "a line of the engine's log" in report["log"]


def test_between_two_engines_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    take = standby.Standby.take

    async def test() -> None:
        async with running(max_queue=1) as service:
            go_on = asyncio.Event()

            async def take_later(self: standby.Standby) -> engine_process.EngineProcess:
                await go_on.wait()
                return await take(self)

            monkeypatch.setattr(standby.Standby, "take", take_later)
            first = service.submit(ask(fake_engine.KILL, "first"))
            await until(lambda: service.status().deaths == 1)
            assert (service.state, service.stats, service.engine_pid) == ("recovering", None, None)
            assert service.retry_after >= 1
            second, third = (service.submit(ask(fake_engine.ANSWER, name)) for name in ("second", "third"))
            with pytest.raises(Overloaded):
                service.submit(ask(fake_engine.ANSWER, "fourth"))
            assert not (first.done or second.done)
            go_on.set()
            for entry in (first, second, third):
                await entry.finished()
                assert entry.output == WHOLE
                service.release(entry.request.id)

    guarded(test)


def test_content_is_reported_only_where_it_was_asked_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(incidents=tmp_path / "incidents", record_content=True) as service:
            await answered(service, fake_engine.KILL, "one", 5, 6)

    guarded(test)
    (report,) = reports(tmp_path / "incidents")
    assert report["requests"][0]["prompt"] == [fake_engine.KILL, 5, 6]
    assert report["requests"][0]["output"] == [1, 2]


def test_a_request_that_kills_every_engine_fails_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(incidents=tmp_path / "incidents") as service:
            held = [service.submit(ask(fake_engine.DRIP, f"held-{n}", n, tokens=10**6)) for n in range(3)]
            guilty = service.submit(ask(fake_engine.POISON, "guilty"))
            with pytest.raises(CrashesEngine) as caught:
                await guilty.finished()
            await until(lambda: service.state == "ready")
            deaths = service.status().deaths
            assert deaths <= 5
            assert not any(entry.done for entry in held)
            service.release("guilty")
            assert (tmp_path / "incidents" / f"{caught.value.incident}.json").exists() or deaths
            with pytest.raises(CrashesEngine, match=caught.value.incident):
                service.submit(ask(fake_engine.POISON, "again"))
            await answered(service, fake_engine.ANSWER)
            assert service.status().deaths == deaths
            for entry in held:
                service.release(entry.request.id)

    guarded(test)
    newest = reports(tmp_path / "incidents")[-1]
    assert "guilty was aboard of" in " ".join(newest["decision"])


def test_the_last_words_of_an_engine_count() -> None:
    """An answer that was whole when the engine died is no loss."""

    async def test() -> None:
        async with running() as service:
            descriptors = 0
            for deaths in range(1, 8):
                await until(lambda: service.state == "ready" and is_waiting(service.status().standby))
                descriptors = descriptors or psutil.Process().num_fds()
                entry = await answered(service, fake_engine.ANSWER_AND_DIE)
                assert (entry.output, entry.finish, entry.lost) == (WHOLE, "length", None)
                await until(lambda deaths=deaths: service.status().deaths == deaths)  # type: ignore[misc]
            await until(lambda: service.state == "ready" and is_waiting(service.status().standby))
            await until(lambda: psutil.Process().num_fds() <= descriptors)

    guarded(test)


def test_a_refusal_at_start_is_final_and_told_and_no_incident(tmp_path: Path) -> None:
    incidents = tmp_path / "incidents"

    async def test() -> None:
        async with running("refuse", incidents=incidents) as service:
            assert service.state == "failed"
            assert service.failure == "the weights are of the wrong colour; paint them"
            with pytest.raises(EngineUnavailable, match="wrong colour"):
                service.admit(1)
            assert (service.status().deaths, service.status().last_death) == (0, None)

    guarded(test)
    assert reports(incidents) == []


def test_engines_that_never_serve_are_given_up_and_teach_nothing(tmp_path: Path) -> None:
    lessons = Lessons(tmp_path / "rungs.json", "key")

    async def test() -> None:
        async with running("crash", lessons) as service:
            rungs = len(service.status().rungs)
            assert service.state == "failed"
            assert service.status().deaths == policy.START_TRIES * (rungs - 1) + policy.LAST_TRIES
            assert "in a row ended before they served" in service.failure
            assert "exit code 3" in service.failure

    guarded(test)
    assert lessons.recall() is None, "it would slow down the next server, whatever hindered this one"


def test_a_lack_of_memory_at_start_leads_to_a_smaller_configuration_that_is_remembered(tmp_path: Path) -> None:
    lessons = Lessons(tmp_path / "rungs.json", fingerprint(options("small"), "a card"))

    async def test() -> None:
        async with running("small", lessons) as service:
            assert (service.state, service.status().rung_name) == ("ready", "small steps")
            deaths = service.status().deaths
        assert deaths == policy.START_TRIES
        async with running("small", lessons) as service:
            assert (service.status().deaths, service.status().rung_name) == (0, "small steps")
        lessons.forget()
        async with running("small", lessons) as service:
            assert service.status().deaths == policy.START_TRIES

    guarded(test)


def test_a_lack_of_memory_at_start_is_an_incident(tmp_path: Path) -> None:
    async def test() -> None:
        async with running("small", incidents=tmp_path / "incidents") as service:
            assert service.status().last_death is not None

    guarded(test)
    assert [report["cause"] for report in reports(tmp_path / "incidents")] == ["memory"] * policy.START_TRIES


def test_a_refusal_after_another_death_is_an_incident_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(f"waver {tmp_path / 'starts'}", incidents=tmp_path / "incidents") as service:
            assert (service.state, service.status().deaths) == ("failed", 2)
            assert "wrong colour" in service.failure

    guarded(test)
    assert [report["how"] for report in reports(tmp_path / "incidents")] == [
        "exit code 4", "the weights are of the wrong colour",
    ]  # fmt: skip


def test_starts_that_fail_a_few_times_are_tried_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(f"twice {tmp_path / 'starts'}") as service:
            assert (service.state, service.status().deaths) == ("ready", 2)

    guarded(test)


def test_a_machine_that_starts_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "COMMAND", ("/no/such/program",))

    async def test() -> None:
        async with running() as service:
            assert service.state == "failed"
            assert "/no/such/program" in service.failure

    guarded(test)


def test_what_waits_is_told_when_no_engine_comes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with running(standby=False) as service:
            monkeypatch.setattr(engine_process, "COMMAND", ("/no/such/program",))
            entry = service.submit(ask(fake_engine.KILL))
            with pytest.raises(EngineGone, match="/no/such/program") as caught:
                await entry.finished()
            assert caught.value.retry_after >= 1
            assert service.state == "failed"
            service.release("one")

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
            with pytest.raises(NeverAdmitted, match=r"4 answers.*more than 3: 2 run .* and 1 wait"):
                service.admit(4)
            service.release("two")
            service.release("waiting")
            service.admit(3)

    guarded(test)


def test_a_request_has_its_deadline(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with running(request_timeout=0.3) as service:
            entry = service.submit(ask(fake_engine.HOLD))
            with pytest.raises(DeadlinePassed, match=r"0\.3 s"):
                await entry.finished()
            service.release("one")
            assert (service.state, service.status().deaths) == ("ready", 0)

    guarded(test)
    assert capfd.readouterr().err.count("aborted one") == 1
    assert "1 requests were not finished within their time: one" in caplog.messages


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


def test_a_drain_ends_with_its_patience(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with running() as service:
            entry = service.submit(ask(fake_engine.HOLD))
            assert await service.drain(0.01) == 1
            assert caplog.messages[-1].endswith("of draining: one")
            service.give_up_requests()
            with pytest.raises(EngineGone, match="shutting down"):
                await entry.finished()
            service.release("one")

    guarded(test)


def test_an_engine_that_dies_while_draining_is_replaced_for_what_is_in_flight() -> None:
    async def test() -> None:
        async with running() as service:
            entry = service.submit(ask(fake_engine.STOP))
            draining = asyncio.create_task(service.drain(GUARD))
            await until(lambda: service.state == "draining")
            assert (entry.done, draining.done()) == (False, False)
            await entry.finished()
            assert (entry.output, service.state, service.status().deaths) == (WHOLE, "draining", 1)
            service.release("one")
            assert await draining == 0

    guarded(test)


def test_a_standby_that_dies_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "upright")

    async def test() -> None:
        async with running() as service:
            await until(lambda: service.status().standby)
            first = service.status().standby
            assert first is not None
            os.kill(first.pid, signal.SIGKILL)
            await until(lambda: (now := service.status().standby) is not None and now.pid != first.pid)
            assert service.status().deaths == 0
            assert "the process in reserve has ended (killed by SIGKILL); recoveries take longer" in caplog.messages
            assert "another process is made ready, to be in reserve" in caplog.messages

    guarded(test)


def test_a_higher_rung_is_tried_again_after_a_time_of_proof(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lessons = Lessons(tmp_path / "rungs.json", "key")
    lessons.learn("small steps", 0, "it was so")

    async def test() -> None:
        async with running(lessons=lessons) as service:
            assert service.status().rung_name == "small steps"
            held = service.submit(ask(fake_engine.HOLD))
            monkeypatch.setattr(policy, "PROOF_SECONDS", 0.0)
            await until(lambda: service.status().rung == 0 and service.state == "ready")
            assert (service.status().deaths, held.done) == (0, False)
            service.release("one")
            await answered(service, fake_engine.ANSWER)

    guarded(test)
    remembered = lessons.recall()
    assert remembered is not None
    assert remembered.rung == "full"


def test_an_engine_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_GRACE", 1.0)  # also for what follows its end

    async def test() -> None:
        async with running("deaf") as service:
            assert service.state == "ready"  # that it has gone is proven on the way out

    guarded(test)


def test_a_stop_while_the_engine_starts() -> None:
    async def test() -> None:
        others = children()
        service = Supervisor(ladder(options("serve")), Care(max_queue=1))
        service.start()
        await until(lambda: service.engine_pid is not None)
        await service.stop()
        assert children() <= others

    guarded(test)
