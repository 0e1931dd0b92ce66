"""`upright incidents` as people and programs meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from upright.cli.commands import app
from upright.supervise.incidents.incident import Environment, Incident, RequestFacts
from upright.supervise.incidents.store import IncidentStore
from upright.supervise.state_directory import incidents_directory

MACHINE = Environment(upright="0.1.0", python="3.11", torch="2.11", platform="Linux", cpu="CPU", cores=2,
                      memory_total=2**34, memory_available=2**33)  # fmt: skip
ABOARD = RequestFacts(id="req-1", prompt_tokens=10, output_tokens=2, images=0, image_tokens=0, aboard=True, deaths=1,
                      suspected=False)  # fmt: skip


def incident(name: str, **changes: Any) -> Incident:
    facts: dict[str, Any] = {
        "id": name, "when": "2026-11-21T23:15:22+08:00", "zone": "CST, UTC+08:00", "serving": True, "cause": "crash",
        "how": "killed by SIGSEGV", "pid": 1, "uptime": 3.0, "environment": MACHINE, "requests": [ABOARD],
        "decision": ["the request is [replayed]"],
    }  # fmt: skip
    return Incident(**facts | changes)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = IncidentStore(incidents_directory(tmp_path))
    store.write(incident("20261121-151522-3f9a"))
    store.write(incident("20261122-000000-0000", cause="memory", how="RuntimeError: a\nb"))
    return tmp_path


def upright(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(app, ["incidents", *arguments])


def test_the_list_is_newest_first(state: Path) -> None:
    result = upright("--state-dir", str(state))
    assert result.exit_code == 0
    header, newest, oldest = (" ".join(line.split()) for line in result.stdout.splitlines())
    assert header == "id when cause how requests what was done"
    assert newest.startswith("20261122-000000-0000 2026-11-21 23:15:22+08:00 memory RuntimeError: a b")
    assert oldest.endswith("crash killed by SIGSEGV 1, 1 in the step the request is [replayed]")


def test_the_directory_may_be_in_the_environment(state: Path) -> None:
    assert "20261122-000000-0000" in upright(UPRIGHT_STATE_DIR=str(state)).stdout
    assert "20261122-000000-0000" in upright("--state-dir", str(state), UPRIGHT_STATE_DIR="/nowhere").stdout


def test_none_is_told_with_the_place(tmp_path: Path) -> None:
    result = upright(XDG_STATE_HOME=str(tmp_path), UPRIGHT_STATE_DIR="")
    assert result.exit_code == 0
    assert result.stdout == f"No incidents: there is no report in {tmp_path}/upright/incidents.\n"
    assert upright("--json", "--state-dir", str(tmp_path)).stdout == "[]\n"


def test_a_directory_that_is_not_there_is_no_clean_record(tmp_path: Path) -> None:
    result = upright("--state-dir", str(tmp_path / "mistyped"))
    assert result.exit_code == 2 and result.stdout == ""
    assert f"there is no directory {tmp_path}/mistyped" in result.stderr


@pytest.mark.parametrize("name", ["last", "20261122", "20261122-000000-0000"])
def test_one_is_shown_as_markdown(state: Path, name: str) -> None:
    result = upright(name, "--state-dir", str(state))
    assert result.exit_code == 0
    assert result.stdout.startswith("# Incident 20261122-000000-0000\n\n**The engine ran out of memory (RuntimeError")


def test_programs_get_json(state: Path) -> None:
    assert json.loads(upright("last", "--json", "--state-dir", str(state)).stdout)["cause"] == "memory"
    every = json.loads(upright("--json", "--state-dir", str(state)).stdout)
    assert [one["id"][:8] for one in every] == ["20261122", "20261121"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("20261121-151522-3f9b", "the nearest: 20261121-151522-3f9a"),
        ("2026112", "2 incident reports begin with 2026112; give more of the id"),
    ],
)
def test_an_id_that_names_none_or_several(state: Path, name: str, complaint: str) -> None:
    result = upright(name, "--state-dir", str(state))
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "incidents").write_text("")
    result = upright("--state-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "cannot read incident reports" in result.stderr
    assert "--state-dir" in result.stderr
