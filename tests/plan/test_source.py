"""Finding a model: the hubs' real clients against a stand-in on the loopback address.

The clients read their endpoints when they are imported, so each test runs them in a process of its own.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_in_hub import Repository, StandInHub

from upright import reader
from upright.config import ServeConfig
from upright.plan.source import READER_FILES, ModelNotFound, SourceError, find_model
from upright.plan.source_errors import check_space

FIRST, SECOND = "1" * 40, "2" * 40
WEIGHTS = bytes(range(256)) * 4096  # 1 MiB
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"not wanted",
    "consolidated.safetensors": b"not wanted",
    "onnx/config.json": b"not wanted",
}
WANTED = {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"}

CHILD = """
import json, sys
from upright.config import ServeConfig
from upright.plan.source import SourceError, find_model
class DownloadStopped(BaseException): pass
for settings in json.loads(sys.argv[1]):
    updates = []
    stop_at = settings.pop("stop_at", None)
    def progress(loading):
        updates.append(loading)
        if stop_at is not None and loading.done >= stop_at:
            raise DownloadStopped
    try:
        result = {"path": str(find_model(ServeConfig(**settings), progress))}
    except (SourceError, DownloadStopped) as error:
        result = {"error": type(error).__name__, "message": str(error)}
    last = updates[-1] if updates else None
    result["progress"] = [last.stage, last.done, last.total, last.unit] if last else None
    result["torch"] = "torch" in sys.modules
    print("RESULT" + json.dumps(result))
"""

needs_modelscope = pytest.mark.skipif(
    importlib.util.find_spec("modelscope_hub") is None, reason="the extra `modelscope` is not installed"
)


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    second = FILES | {"config.json": b'{"model_type": "qwen2"}'}
    revisions = {"main": SECOND, "master": SECOND, "v1": FIRST, FIRST: FIRST, SECOND: SECOND}
    repositories = {
        "owner/model": Repository(revisions, {FIRST: FILES, SECOND: second}),
        "owner/old": Repository({"main": FIRST, FIRST: FIRST}, {FIRST: {"config.json": b"{}", "model.bin": b"x"}}),
        "owner/gated": Repository({}, {}, refusal=(403, "GatedRepo")),
        "owner/private": Repository({}, {}, refusal=(401, "")),
        "owner/broken": Repository({}, {}, refusal=(500, "")),
    }
    with StandInHub(repositories) as hub:
        yield hub


def find(tmp_path: Path, url: str, *settings: dict[str, Any], **variables: str) -> list[dict[str, Any]]:
    """What `find_model` gives for each of the settings, one after another in one new process."""
    dropped = ("HF_", "HUGGING", "MODELSCOPE_", "UPRIGHT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment |= {
        "HOME": str(tmp_path),
        "NO_PROXY": "127.0.0.1",
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path / "hf"),
        "MODELSCOPE_ENDPOINT": url,
        "MODELSCOPE_CACHE": str(tmp_path / "ms"),
        "MODELSCOPE_HOME": str(tmp_path / "ms-home"),
    }
    child = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(settings)],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    results = [json.loads(line[6:]) for line in child.stdout.splitlines() if line.startswith("RESULT")]
    assert not any(result["torch"] for result in results)
    return results


def content(path: str) -> dict[str, bytes]:
    root = Path(path)
    found = (entry for entry in root.rglob("*") if entry.is_file())
    return {str(entry.relative_to(root)): entry.read_bytes() for entry in found}


def refused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_model(ServeConfig(model=str(tmp_path)), lambda _: None) == tmp_path


def test_a_reader_that_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "DIRECTORY", tmp_path)
    for name in READER_FILES:
        (tmp_path / name).touch()
    own = ServeConfig(model=str(tmp_path))
    with pytest.raises(ModelNotFound, match=r"lacks model\.safetensors; install upright-serve again .* name a MODEL"):
        find_model(own, lambda _: None)
    assert find_model(ServeConfig(model=own.model, load_format="dummy"), lambda _: None) == tmp_path
    (tmp_path / "model.safetensors").touch()
    assert find_model(own, lambda _: None) == tmp_path


@pytest.mark.parametrize("model", ["/no/such/directory", "./missing", "a/b/c", "owner/", "~/missing", "owner/mo del"])
def test_neither_directory_nor_id(model: str) -> None:
    with pytest.raises(ModelNotFound, match="there is no directory"):
        find_model(ServeConfig(model=model), lambda _: None)


def test_file_instead_of_directory(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ModelNotFound, match="is a file; give the directory"):
        find_model(ServeConfig(model=str(tmp_path / "model.gguf")), lambda _: None)


def test_huggingface_downloads_what_is_needed_and_serves_it_offline(hub: StandInHub, tmp_path: Path) -> None:
    model = {"model": "owner/model"}
    online, again = find(tmp_path, hub.url, model, model, HF_TOKEN="hf_secret")
    assert content(online["path"]).keys() == WANTED
    assert content(online["path"])["model.safetensors"] == WEIGHTS
    size = sum(len(FILES[name]) for name in WANTED)
    assert online["progress"] == ["download", size, size, "B"]
    assert again["progress"] is None
    assert again["path"] == online["path"]
    assert len(hub.downloads("model.safetensors")) == 1
    assert {request.token for request in hub.seen if "model" in request.path} == {"Bearer hf_secret"}
    before = len(hub.seen)
    offline, other = find(tmp_path, hub.url, model | {"offline": True}, {"model": "owner/other", "offline": True})
    assert offline["path"] == online["path"]
    assert other["error"] == "SourceError"
    assert "start once without --offline" in other["message"]
    assert len(hub.seen) == before


def test_huggingface_pins_a_revision_in_the_given_directory(hub: StandInHub, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    settings = {"model": "owner/model", "download_dir": str(folder)}
    tag, commit, newest = find(
        tmp_path, hub.url, settings | {"revision": "v1"}, settings | {"revision": FIRST}, settings
    )
    assert tag["path"] == commit["path"] != newest["path"]
    assert Path(tag["path"]).is_relative_to(folder)
    assert content(tag["path"])["config.json"] == FILES["config.json"]
    assert content(newest["path"])["config.json"] != FILES["config.json"]


def test_huggingface_goes_on_where_it_was_cut(hub: StandInHub, tmp_path: Path) -> None:
    weights = WEIGHTS * 24
    hub.repositories["owner/model"].files[SECOND]["model.safetensors"] = weights
    hub.cuts["model.safetensors"] = 15 * 2**20
    (found,) = find(tmp_path, hub.url, {"model": "owner/model"})
    assert content(found["path"])["model.safetensors"] == weights
    # The client writes in pieces of 10 MB: what came after the last whole piece is asked for again.
    ranges = [request.range for request in hub.downloads("model.safetensors")]
    assert ranges == [None, "bytes=10485760-"]


def test_huggingface_needs_no_weights_for_random_ones(hub: StandInHub, tmp_path: Path) -> None:
    (found,) = find(tmp_path, hub.url, {"model": "owner/model", "load_format": "dummy"})
    assert content(found["path"]).keys() == WANTED - {"model.safetensors"}


def test_huggingface_errors_say_what_to_do(hub: StandInHub, tmp_path: Path) -> None:
    cases = [
        ({"model": "owner/nothing"}, "ModelNotFound", "no model of that id that you may see"),
        ({"model": "nothing"}, "ModelNotFound", "no model of that id that you may see"),
        ({"model": "owner/model", "revision": "v9"}, "ModelNotFound", "has no revision 'v9'"),
        ({"model": "owner/gated"}, "ModelNotFound", "is gated: accept its terms at"),
        ({"model": "owner/private"}, "ModelNotFound", "set HF_TOKEN"),
        ({"model": "owner/broken"}, "SourceError", "HTTP 500"),
        ({"model": "owner/old"}, "ModelNotFound", "no *.safetensors file"),
        ({"model": "owner/" + "x" * 200}, "ModelNotFound", "not an id of a model on Hugging Face"),
    ]
    results = find(tmp_path, hub.url, *(settings for settings, _, _ in cases))
    for (settings, kind, message), result in zip(cases, results, strict=True):
        assert result.get("error") == kind, (settings, result)
        assert message in result["message"]


def test_huggingface_out_of_reach(tmp_path: Path) -> None:
    (result,) = find(tmp_path, f"http://127.0.0.1:{refused_port()}", {"model": "owner/model"})
    assert result["error"] == "SourceError"
    assert "check the network or set HF_ENDPOINT" in result["message"]
    (result,) = find(tmp_path, "http://127.0.0.1:1", {"model": "owner/model"}, HF_HUB_OFFLINE="1")
    assert "downloads are off" in result["message"]


def test_huggingface_out_of_reach_uses_what_is_cached(hub: StandInHub, tmp_path: Path) -> None:
    (online,) = find(tmp_path, hub.url, {"model": "owner/model"})
    nowhere = f"http://127.0.0.1:{refused_port()}"
    found, pinned = find(tmp_path, nowhere, {"model": "owner/model"}, {"model": "owner/model", "revision": "v1"})
    assert found["path"] == online["path"]
    assert pinned["error"] == "SourceError"


def test_huggingface_stops_when_told(hub: StandInHub, tmp_path: Path) -> None:
    hub.repositories["owner/model"].files[SECOND]["model.safetensors"] = WEIGHTS * 24
    stopped, found = find(tmp_path, hub.url, {"model": "owner/model", "stop_at": 10**7}, {"model": "owner/model"})
    assert stopped["error"] == "DownloadStopped"
    assert len(content(found["path"])["model.safetensors"]) == 24 * len(WEIGHTS)


def test_no_room_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"needs 1000000000.00 GB more in .*/absent, whose disk has"):
        check_space("owner/model", 10**18, tmp_path / "absent")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full; free some space or give another folder"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/cache"), "cannot write to /srv/cache"),
    ],
)
def test_huggingface_disk(failure: OSError, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> str:
        raise failure

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(SourceError, match=message):
        find_model(ServeConfig(model="owner/model", download_dir=tmp_path), lambda _: None)


@needs_modelscope
def test_modelscope_downloads_what_is_needed_and_serves_it_offline(hub: StandInHub, tmp_path: Path) -> None:
    model = {"model": "owner/model", "model_source": "modelscope"}
    online, pinned, elsewhere = find(
        tmp_path, hub.url, model, model | {"revision": "v1"}, model | {"download_dir": str(tmp_path / "models")}
    )
    assert content(online["path"]).keys() == WANTED
    assert content(online["path"])["model.safetensors"] == WEIGHTS
    size = sum(len(data) for data in content(online["path"]).values())
    assert online["progress"] == ["download", size, size, "B"]
    assert content(pinned["path"])["config.json"] == FILES["config.json"]
    assert content(online["path"])["config.json"] != FILES["config.json"]
    assert Path(elsewhere["path"]).is_relative_to(tmp_path / "models")
    before = len(hub.seen)
    offline, other = find(
        tmp_path, hub.url, model | {"offline": True}, model | {"model": "owner/other", "offline": True}
    )
    assert offline["path"] == online["path"]
    assert "start once without --offline" in other["message"]
    assert len(hub.seen) == before


@needs_modelscope
def test_modelscope_goes_on_where_it_was_cut(hub: StandInHub, tmp_path: Path) -> None:
    half = len(WEIGHTS) // 2
    hub.cuts["model.safetensors"] = half
    model = {"model": "owner/model", "model_source": "modelscope"}
    (failed,) = find(tmp_path, hub.url, model, MODELSCOPE_DOWNLOAD_MAX_RETRIES="0")
    assert failed["error"] == "SourceError"
    assert "what has arrived is kept" in failed["message"]
    (offline,) = find(tmp_path, hub.url, model | {"offline": True})
    assert "no *.safetensors file" in offline["message"]
    (found,) = find(tmp_path, hub.url, model)
    assert content(found["path"])["model.safetensors"] == WEIGHTS
    assert [request.range for request in hub.downloads("model.safetensors")] == [None, f"bytes={half}-"]


@needs_modelscope
def test_modelscope_stops_when_told(hub: StandInHub, tmp_path: Path) -> None:
    model = {"model": "owner/model", "model_source": "modelscope"}
    stopped, found = find(tmp_path, hub.url, model | {"stop_at": len(WEIGHTS) // 2}, model)
    assert stopped["error"] == "DownloadStopped"
    assert content(found["path"])["model.safetensors"] == WEIGHTS


@needs_modelscope
def test_modelscope_errors_say_what_to_do(hub: StandInHub, tmp_path: Path) -> None:
    cases = [
        ({"model": "owner/nothing"}, "ModelNotFound", "no model owner/nothing at"),
        ({"model": "owner/model", "revision": "v9"}, "ModelNotFound", "no revision 'v9' of the model"),
        ({"model": "owner/private"}, "ModelNotFound", "set MODELSCOPE_API_TOKEN"),
        ({"model": "owner/gated"}, "ModelNotFound", "set MODELSCOPE_API_TOKEN"),
        ({"model": "nothing"}, "ModelNotFound", "is not an id of a model"),
    ]
    results = find(tmp_path, hub.url, *(settings | {"model_source": "modelscope"} for settings, _, _ in cases))
    for (settings, kind, message), result in zip(cases, results, strict=True):
        assert result.get("error") == kind, (settings, result)
        assert message in result["message"]


def test_modelscope_client_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    with pytest.raises(SourceError, match=r"pip install 'upright-serve\[modelscope\]'"):
        find_model(ServeConfig(model="owner/model", model_source="modelscope"), lambda _: None)
