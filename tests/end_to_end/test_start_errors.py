"""Starts that cannot succeed: each ends soon, with one message a person can act on, and leaves nothing running."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from running import RunningServer

Damage = Callable[[Path], None]


def rewrite(directory: Path, **changes: object) -> None:
    """config.json with other values."""
    path = directory / "config.json"
    content = json.loads(path.read_text()) | changes
    path.unlink()
    path.write_text(json.dumps(content))


def replace(directory: Path, name: str, content: bytes) -> None:
    (directory / name).unlink(missing_ok=True)
    (directory / name).write_bytes(content)


def lose_a_shard(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    replace(directory, "model.safetensors.index.json", json.dumps({"weight_map": shards}).encode())


def widen(directory: Path) -> None:
    text = json.loads((directory / "config.json").read_text())["text_config"]
    rewrite(directory, text_config=text | {"intermediate_size": 264})


BROKEN_MODELS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "no-weights": (lambda path: (path / "model.safetensors").unlink(), ("holds no weights", "safetensors")),
    "missing-shard": (lose_a_shard, ("lacks 1 of 2 weight files", "model-00002-of-00002.safetensors")),
    "lfs-pointer": (
        lambda path: replace(path, "model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n"),
        ("model.safetensors is a pointer of git-lfs", "git lfs pull"),
    ),
    "wrong-shape": (widen, ("mlp", "[128, 256]", "[128, 264]", "config.json")),
    "unsupported": (
        lambda path: rewrite(path, architectures=["GPT2LMHeadModel"]),
        ("GPT2LMHeadModel is not supported", "Qwen2VLForConditionalGeneration", "LlamaForCausalLM"),
    ),
    "no-config": (lambda path: (path / "config.json").unlink(), ("holds no config.json",)),
    "broken-config": (lambda path: replace(path, "config.json", b"{"), ("config.json cannot be read",)),
    "no-tokenizer": (lambda path: (path / "tokenizer.json").unlink(), ("has no tokenizer.json",)),
}

WRONG_OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no-gpu": (("--device", "cuda"), ("--device cuda, but", "use --device cpu")),
    "attention": (("--device", "cpu", "--attention", "triton"), ("--attention triton cannot serve", "without it")),
    "small-cache": (
        ("--kv-cache-memory", "64KiB"),
        ("--kv-cache-memory 64.0 KiB holds 32 tokens", "4096", "--max-model-len 32", "--kv-cache-memory 6291456"),
    ),
    "small-steps": (
        ("--max-num-seqs", "8", "--max-num-batched-tokens", "4"),
        ("--max-num-batched-tokens 4 is less than --max-num-seqs 8",),
    ),
    "context": (("--max-model-len", "99999"), ("--max-model-len 99999", "32768")),
    "wrong-type": (("--max-num-seqs", "many"), ("--max-num-seqs (the command line)", "integer", "'many'")),
    "wrong-choice": (("--dtype", "float8"), ("--dtype (the command line)", "'bfloat16'", "'float8'")),
    "unknown-option": (("--max-modellen", "8"), ("No such option: --max-modellen", "--max-model-len")),
    "no-media": (
        ("--allowed-local-media-path", "/no/such/place"),
        ("--allowed-local-media-path (the command line)", "not point to a directory", "/no/such/place"),
    ),
    "no-faults": (("--test-faults", "/no/such/place"), ("--test-faults (the command line)", "'/no/such/place'")),
    "no-state": (("--state-dir", "/dev/null/state"), ("nothing can be kept in /dev/null/state", "give --state-dir")),
    "no-such-address": (
        ("--host", "203.0.113.7"),
        ("203.0.113.7", "this machine does not", "--host 0.0.0.0", "127.0.0.1"),
    ),
    "no-such-name": (("--host", "no such name"), ("no such name", "no address", "--host 0.0.0.0")),
}


def refused(server: RunningServer, *words: str) -> None:
    """It ends by itself, says so in words, and leaves nothing: no report of a death either."""
    assert server.wait() in (1, 2)
    said = server.log
    for word in words:
        assert word in said, said
    assert "Traceback" not in said
    assert server.left_behind() == []
    assert list(server.state.glob("incidents/*")) == []


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[..., None]:
    """refuse(model, options, words, **environment)"""

    def run(model: Path | str, options: tuple[str, ...], words: tuple[str, ...], **environment: str) -> None:
        server = RunningServer(Path(model), tmp_path, *options, **environment)
        try:
            refused(server, *words)
        finally:
            server.end()

    return run


@pytest.mark.parametrize("damage", BROKEN_MODELS)
def test_a_broken_model(model: Path, tmp_path: Path, refuse: Callable[..., None], damage: str) -> None:
    broken = tmp_path / "model"
    broken.mkdir()
    for file in model.iterdir():
        (broken / file.name).symlink_to(file)
    spoil, words = BROKEN_MODELS[damage]
    spoil(broken)
    refuse(broken, (), words)


@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_a_wrong_option(model: Path, refuse: Callable[..., None], case: str) -> None:
    if case == "no-gpu":
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
    options, words = WRONG_OPTIONS[case]
    refuse(model, ("--max-model-len", "4096", *options), words)


def test_a_directory_that_is_not_there(refuse: Callable[..., None]) -> None:
    refuse("/no/such/model", (), ("there is no directory /no/such/model", "Qwen/Qwen2-VL-2B-Instruct"))


def test_an_id_that_is_not_on_disk(refuse: Callable[..., None], tmp_path: Path) -> None:
    options = ("--offline", "--download-dir", str(tmp_path))
    refuse("someone/something", options, ("someone/something", "offline"))


def test_the_port_is_in_use(model: Path, refuse: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refuse(model, ("--port", port), (f"port {port} on 127.0.0.1 is in use", "--port"))


def test_an_unknown_environment_variable(model: Path, refuse: Callable[..., None]) -> None:
    words = ("UPRIGHT_MAX_MODELLEN names no option", "mean UPRIGHT_MAX_MODEL_LEN?")
    refuse(model, (), words, UPRIGHT_MAX_MODELLEN="8")


def test_a_configuration_file_with_an_unknown_option(model: Path, tmp_path: Path, refuse: Callable[..., None]) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("max-modellen: 8\n")
    refuse(model, ("--config", str(file)), (f"{file}: max-modellen is no option", "mean max-model-len?"))


def test_bfloat16_runs_on_a_cpu(start: Callable[..., RunningServer], tmp_path: Path) -> None:
    """Set in a file, with what the environment and the command line say above it."""
    file = tmp_path / "serve.yaml"
    file.write_text("dtype: bfloat16\nmax-model-len: 512\nmax-num-seqs: 3\n")
    server = start(
        "--no-standby", "--config", str(file), "--device", "cpu", UPRIGHT_MAX_NUM_SEQS="2"
    ).wait_until_ready()
    assert "bfloat16" in server.log
    assert "up to 2 sequences" in server.log
    assert server.complete(4)
