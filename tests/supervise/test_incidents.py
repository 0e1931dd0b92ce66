"""Incident reports: the value, its two files, and where they are kept."""

from __future__ import annotations

import logging
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from upright.messages import EngineOptions
from upright.supervise.incidents import environment as environment_module
from upright.supervise.incidents.environment import NO_ANSWER, gather
from upright.supervise.incidents.incident import (
    Environment,
    Incident,
    Recovery,
    RequestFacts,
    StepFacts,
    new_incident_id,
)
from upright.supervise.incidents.markdown import duration, incident_markdown
from upright.supervise.incidents.store import IncidentStore, NoSuchIncident
from upright.supervise.state_directory import NoStateDirectory, incidents_directory, make_writable, state_directory

OPTIONS = EngineOptions(
    model_path="/models/m", device="cpu", dtype="float32", load_format="auto", max_model_len=2048, max_num_seqs=32,
    max_num_batched_tokens=512, kv_cache_bytes=2**32, block_size=16, max_pixels=None, seed=0,
)  # fmt: skip
MACHINE = Environment(
    upright="0.1.0", python="3.11.7", torch="2.11.0", platform="Linux-6.1", cpu="Old CPU", cores=4,
    memory_total=2**34, memory_available=2**33, model="/models/m", options=msgspec.to_builtins(OPTIONS),
)  # fmt: skip


def request(name: str = "req-1", **changes: Any) -> RequestFacts:
    facts: dict[str, Any] = {
        "id": name, "prompt_tokens": 100, "output_tokens": 7, "images": 2, "image_tokens": 80, "aboard": True,
        "deaths": 1, "suspected": False,
    }  # fmt: skip
    return RequestFacts(**facts | changes)


def incident(name: str = "20261121-151522-3f9a", **changes: Any) -> Incident:
    facts: dict[str, Any] = {
        "id": name, "when": "2026-11-21T23:15:22.248000+08:00", "zone": "CST, UTC+08:00", "serving": True,
        "cause": "crash", "how": "killed by SIGSEGV", "signal": "SIGSEGV", "stacks": "Current thread", "pid": 4711,
        "step": StepFacts(phase="step", number=812, done=False, running_for=0.2, expected=0.3, deadline=None,
                          sequences=1, tokens=64, images=2),
        "requests": [request(), request("req-2", aboard=False)], "log": ["the last line"], "uptime": 132.4,
        "environment": MACHINE, "decision": ["the requests are replayed"], "ruled_out": ["the GPU"],
        "advice": ["try --attention reference"],
    }  # fmt: skip
    return Incident(**facts | changes)


@pytest.fixture
def store(tmp_path: Path) -> IncidentStore:
    return IncidentStore(tmp_path / "state" / "incidents", keep=3)


# ---- the value -------------------------------------------------------------------------------------------------------


def test_ids_sort_as_time_does_whatever_the_clock_shows() -> None:
    moment = datetime(2026, 11, 21, 23, 15, 22, 248000, tzinfo=timezone(timedelta(hours=8)))
    assert new_incident_id(moment) == "20261121-151522-3f7c"
    moments = [moment.astimezone(UTC) + timedelta(milliseconds=37 * n) for n in range(100)]
    ids = [new_incident_id(one) for one in moments]
    assert ids == sorted(set(ids))
    assert len(new_incident_id(moment.replace(microsecond=999_999))) == len(ids[0])


def test_json_round_trip() -> None:
    recovery = Recovery(notice=0.01, take_over=0.02, load=1.0, replay=0.5, requests=2, tokens=14)
    full = incident(recovery=recovery, oom_kills=0, requests=[request(prompt=[1, 2], output=[3])])
    assert msgspec.json.decode(msgspec.json.encode(full), type=Incident) == full


def test_an_old_report_without_later_fields_can_be_read() -> None:
    plain = msgspec.to_builtins(incident())
    for name in ("recovery", "oom_kills", "rung", "rung_name", "tokens", "traceback", "start_failure"):
        del plain[name]
    assert msgspec.convert(plain, Incident) == incident()


def test_the_environment_is_gathered_without_torch() -> None:
    found = gather(OPTIONS)
    assert found.options["max_model_len"] == 2048
    assert found.cores >= 1
    assert found.memory_total > 0
    assert found.gpus == []
    assert msgspec.convert(found.options, EngineOptions) == OPTIONS


def test_a_driver_that_never_answers_costs_only_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec sleep 30\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(environment_module, "GPU_SECONDS", 0.2)
    found = gather(msgspec.structs.replace(OPTIONS, device="cuda"))  # had it waited for the end, it had an answer
    assert found.driver is None
    assert found.gpus[0].startswith(NO_ANSWER)


def test_gpus_and_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '535.1, NVIDIA GeForce GTX 1070, 8192, 1024'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = gather(msgspec.structs.replace(OPTIONS, device="cuda"))
    assert found.driver == "535.1"
    assert found.gpus == ["NVIDIA GeForce GTX 1070, 1.00 GiB of 8.00 GiB in use"]


# ---- Markdown --------------------------------------------------------------------------------------------------------


def test_markdown_begins_with_one_line_that_says_it_all() -> None:
    recovery = Recovery(notice=0.1, take_over=0.1, load=3.0, replay=1.0, requests=2, tokens=14)
    text = incident_markdown(incident(recovery=recovery))
    assert text.splitlines()[2] == (
        "**The engine crashed (killed by SIGSEGV)** at 2026-11-21 23:15:22+08:00 (CST, UTC+08:00), 2 min 12 s after "
        "its start, while it computed step 812. 2 requests were in flight, 1 in the step. The next engine continued "
        "2 of them, at most 4.2 s later."
    )
    for expected in ("the requests are replayed", "the GPU", "try --attention reference", "`req-2`", "the last line"):
        assert expected in text


@pytest.mark.parametrize(
    ("in_step", "told"),
    [
        (2, "2 in the step."), (1, "1 in the step, 1 whose images were being decoded."),
        (0, "2 whose images were being decoded."),
    ],
)  # fmt: skip
def test_requests_in_the_step_and_in_the_decoder_of_images_are_told_apart(in_step: int, told: str) -> None:
    found = incident(requests=[request(), request("req-2")])
    step = msgspec.structs.replace(found.step, sequences=in_step)
    assert f"2 requests were in flight, {told}" in incident_markdown(msgspec.structs.replace(found, step=step))


def test_what_clients_sent_is_there_only_where_it_was_asked_for() -> None:
    assert "Token ids" not in incident_markdown(incident())
    asked = incident_markdown(incident(requests=[request(prompt=[11, 12], output=[13])]))
    assert "req-1 prompt: 11 12\nreq-1 output: 13" in asked


def test_nothing_in_a_report_breaks_its_form() -> None:
    nasty = incident(requests=[request("a|b`c")], log=["```", "# no heading"], how="RuntimeError: a\nb\n" + "x" * 500)
    text = incident_markdown(nasty)
    assert "| `a\\|b'c` |" in text
    assert "````text\n```\n# no heading\n````" in text
    assert "(RuntimeError: a b xxx" in text.splitlines()[2]
    assert len(text.splitlines()[2]) < 500


def test_a_bare_incident_can_be_shown() -> None:
    bare = Incident(id="i", when="not a time", zone="", serving=False, cause="memory", how="exit code 1", pid=1,
                    uptime=0.0, environment=msgspec.structs.replace(MACHINE, options={}))  # fmt: skip
    assert "while it was starting. No request was in flight." in incident_markdown(bare)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (9.97, "10.0 s"), (45, "45 s"), (59.7, "1 min 0 s"), (3900, "1 h 5 min"), (200000, "2 d 7 h")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


# ---- the store -------------------------------------------------------------------------------------------------------


def test_what_is_written_can_be_read_by_this_user_only(store: IncidentStore) -> None:
    store.write(incident())
    assert store.list() == [incident()]
    assert sorted(path.name for path in store.directory.iterdir()) == [f"{incident().id}.json", f"{incident().id}.md"]
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()} == {0o600}


def test_a_second_write_replaces_the_first(store: IncidentStore) -> None:
    store.write(incident())
    later = incident(recovery=Recovery(notice=0, take_over=0, load=1, replay=0, requests=1, tokens=1))
    store.write(later)
    assert store.list() == [later]


def test_the_oldest_are_pruned(store: IncidentStore) -> None:
    for n in range(5):
        store.write(incident(f"2026112{n}-000000-0000"))
    assert [one.id[:8] for one in store.list()] == ["20261124", "20261123", "20261122"]
    assert len(list(store.directory.iterdir())) == 6


def test_a_clock_that_went_back_does_not_cost_the_newest_report(store: IncidentStore) -> None:
    for name in ("20261121-b", "20261122-b", "20261123-b", "20261101-a"):
        store.write(incident(name))
    assert [one.id for one in store.list()] == ["20261123-b", "20261122-b", "20261101-a"]


def test_a_broken_file_is_left_out_and_named(store: IncidentStore, caplog: pytest.LogCaptureFixture) -> None:
    store.write(incident())
    (store.directory / "20261120-000000-0000.json").write_text('{"id": 7')
    (store.directory / "20261120-000000-0001.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        assert store.list() == [incident()]
    assert "20261120-000000-0000.json" in caplog.text
    assert "20261120-000000-0001.json" in caplog.text
    with pytest.raises(NoSuchIncident, match=r"0001\.json is no incident report that can be read"):
        store.get("20261120-000000-0001")


def test_getting_one(store: IncidentStore) -> None:
    for name in ("20261121-151522-3f9a", "20261121-151523-0000", "20261122-000000-0000"):
        store.write(incident(name))
    assert store.get("20261122").id == "20261122-000000-0000"
    assert store.get("last").id == "20261122-000000-0000"
    assert store.get("20261121-151522-3f9a").id == "20261121-151522-3f9a"
    with pytest.raises(NoSuchIncident, match=r"2 incident reports begin with 20261121-1515; .* 20261121-151523-0000"):
        store.get("20261121-1515")
    with pytest.raises(NoSuchIncident, match="nearest: 20261121-151522-3f9a"):
        store.get("20261121-151522-3f9b")
    with pytest.raises(NoSuchIncident, match="nearest: 20261122-000000-0000, 20261121-151523-0000"):
        store.get("zzz")


def test_a_whole_id_wins_over_longer_ones(store: IncidentStore) -> None:
    store.write(incident("a"))
    store.write(incident("ab"))
    assert store.get("a").id == "a"


def test_an_empty_store(store: IncidentStore) -> None:
    assert store.list() == []
    assert not store.directory.exists()
    with pytest.raises(NoSuchIncident, match="there is no incident report in"):
        store.get("last")


def test_what_cannot_be_written_is_for_the_caller(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        IncidentStore(tmp_path / "file" / "incidents").write(incident())


def test_a_failed_write_leaves_nothing_half_done(store: IncidentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    store.write(incident("a"))
    monkeypatch.setattr("upright.supervise.incidents.store.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(incident("b"))
    assert sorted(path.name for path in store.directory.iterdir()) == ["a.json", "a.md"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/upright/incidents"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/upright/incidents"),
        ({"HOME": "/h"}, "/h/.local/state/upright/incidents"),
    ],
)
def test_where_it_all_is(environment: dict[str, str], expected: str) -> None:
    assert incidents_directory(state_directory(environment)) == Path(expected)


def test_a_place_for_it_is_made_or_refused(tmp_path: Path) -> None:
    make_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(
        NoStateDirectory, match=r"nothing can be kept in .*file/state: Not a directory; give --state-dir"
    ):
        make_writable(tmp_path / "file" / "state")
