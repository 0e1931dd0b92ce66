"""Where settings come from and which wins; what is wrong with one is told with its name and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from upright import reader
from upright.config import ConfigError, ServeConfig, make_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "serve.yaml"


def test_the_order_is_defaults_file_environment_command_line(file: Path) -> None:
    file.write_text("port: 1\nmax-queue: 1\nmax_num_seqs: 1\n")
    environment = {"UPRIGHT_MAX_QUEUE": "2", "UPRIGHT_MAX_NUM_SEQS": "2", "PATH": "/bin", "OTHER_PORT": "9"}
    config = make_config({"model": "m", "max_num_seqs": "3"}, environment, file)
    assert (config.port, config.max_queue, config.max_num_seqs) == (1, 2, 3)
    assert config.block_size == ServeConfig(model="m").block_size


def test_every_option_can_be_set_in_every_place(file: Path) -> None:
    values = {
        "model": "m", "revision": "r", "offline": True, "served_model_name": ["a", "b"], "port": 1, "dtype": "float16",
        "kv_cache_memory": "2GiB", "media_timeout": 1.5, "download_dir": "/d", "api_key": "k",
    }  # fmt: skip
    file.write_text("\n".join(f"{name.replace('_', '-')}: {value}" for name, value in values.items()))
    from_file = make_config({}, {}, file)
    text = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in values.items()}
    assert from_file == make_config({}, {f"UPRIGHT_{name.upper()}": value for name, value in text.items()})
    assert from_file == make_config(text, {})
    assert (from_file.offline, from_file.served_model_name, from_file.api_key) == (True, ("a", "b"), ("k",))
    assert (from_file.kv_cache_memory, from_file.download_dir) == (2 * 2**30, Path("/d"))


def test_without_a_model_it_is_the_reader_under_its_own_name(file: Path) -> None:
    assert (make_config({}, {}).model, make_config({}, {}).names) == (str(reader.DIRECTORY), ("reader",))
    assert make_config({"served_model_name": "a,b"}, {}).names == ("a", "b")
    file.write_text("model: m")
    assert make_config({}, {}, file).names == ("m",)


def test_an_empty_file_sets_nothing(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert make_config({"model": "m"}, {}, file) == ServeConfig(model="m")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("4GiB", 4 * 2**30),
        ("512MB", 512 * 10**6),
        ("1.5g", 1_500_000_000),
        ("2TiB", 2**41),
        ("1 TB", 10**12),
        (" 2 kib ", 2048),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert make_config({"model": "m", "kv_cache_memory": text}, {}).kv_cache_memory == size


@pytest.mark.parametrize(
    ("given", "environment", "content", "words"),
    [
        ({"model": "m", "port": "70000"}, {}, "", ["--port (the command line)", "65535", "'70000'"]),
        ({"model": "m", "port": "-1"}, {"UPRIGHT_BLOCK_SIZE": "0"}, "", ["--port", "--block-size (the environment)"]),
        ({"model": "m"}, {"UPRIGHT_PORTS": "1"}, "", ["UPRIGHT_PORTS names no option", "did you mean UPRIGHT_PORT?"]),
        ({"model": "m"}, {"UPRIGHT_MAX_NUM_SEQ": "1"}, "", ["UPRIGHT_MAX_NUM_SEQ names", "mean UPRIGHT_MAX_NUM_SEQS?"]),
        ({"model": "m"}, {}, "max-modellen: 1", ["serve.yaml", "max-modellen is no option", "mean max-model-len?"]),
        ({"model": "m"}, {}, "max_num_seq: 1", ["max_num_seq is no option", "mean max_num_seqs?"]),
        ({"model": "m"}, {}, "blocksize: 1", ["blocksize is no option", "mean block-size?"]),
        ({"model": "m"}, {}, "nothing_like_it: 1", ["nothing_like_it is no option"]),
        ({"model": "m"}, {}, "port: 1\n# ...\nport: 2", ["serve.yaml sets port in line 1 and port in line 3"]),
        ({"model": "m"}, {}, "{port: 1, port: 1}", ["sets port in line 1 and port in line 1"]),
        ({}, {}, "block_size: 8\nblock-size: 8", ["sets block_size in line 1 and block-size in line 2"]),
        ({"model": "m"}, {}, "port: [1]", ["--port (", "serve.yaml)", "integer"]),
        ({"model": "m"}, {}, "port: {", ["cannot read the configuration file", "serve.yaml"]),
        ({"model": "m"}, {}, "- port", ["serve.yaml must hold `option: value` lines", "list"]),
        ({"model": "m", "kv_cache_memory": "lots"}, {}, "", ["--kv-cache-memory", "4GiB", "'lots'"]),
        ({"model": "m"}, {}, "api-key: 0123", ["serve.yaml): it is no text to YAML; put it in quotes"]),
        ({"model": "m"}, {}, "served-model-name: 3", ["--served-model-name", "put it in quotes, got 3"]),
        ({"model": "m", "device": "tpu"}, {}, "", ["--device", "'cpu'", "'tpu'"]),
        ({"model": "m", "media_timeout": "0"}, {}, "", ["--media-timeout", "greater than 0"]),
    ],
)
def test_wrong_settings_are_named(
    file: Path, given: dict[str, Any], environment: dict[str, str], content: str, words: list[str]
) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        make_config(given, environment, file)
    for word in words:
        assert word in str(caught.value)


def test_a_configuration_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yaml"):
        make_config({"model": "m"}, {}, tmp_path / "nowhere.yaml")


def test_a_configuration_never_changes() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_config({"model": "m"}, {}).port = 1  # type: ignore[misc]
