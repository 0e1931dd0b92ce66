"""What a user may set, once: every option of `upright serve` and `upright bench` with type, limits and help.

One frozen object is made at start from, in rising order: defaults, the file of `--config` (YAML), environment variables
`UPRIGHT_<OPTION>`, the command line. The command line, the YAML keys and the variables are all derived from the
fields below, so a new option is one new field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, DirectoryPath, Field, ValidationError

from upright import reader

ENVIRONMENT_PREFIX = "UPRIGHT_"

UNITS = {"": 1, "b": 1} | {
    letter + ending: base**power
    for power, letter in enumerate("kmgt", 1)
    for ending, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}


class ConfigError(Exception):
    """A setting is wrong. The message names it, where it was set, and what it may be."""


def parse_bytes(value: object) -> object:
    """`4GiB`, `512MB`, `1.5g` or a plain number of bytes, as an int; anything else is left for the type to refuse."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", value)
    if match is None or match[2].lower() not in UNITS:
        raise ValueError("give bytes as a number or with a unit, such as 4294967296, 4GiB or 512MB")
    return int(float(match[1]) * UNITS[match[2].lower()])


def split_names(value: object) -> object:
    if isinstance(value, (int, float)):  # of a YAML file, which reads 0123 as 83
        raise ValueError("it is no text to YAML; put it in quotes")
    if isinstance(value, str):
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        if not names:
            raise ValueError("it is empty; give at least one, or leave the option out")
        return names
    return value


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_names)]


class EngineConfig(BaseModel):
    """The options that an engine knows, whoever starts it. Names are vLLM's where vLLM has the option."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model: str = Field(
        str(reader.DIRECTORY),
        description="A directory, or an id on Hugging Face or ModelScope; without one, the reader inside Upright.",
    )
    model_source: Literal["huggingface", "modelscope"] = Field("huggingface", description="Where an id is looked up.")
    revision: str | None = Field(None, description="Branch, tag or commit of the model to use.")
    offline: bool = Field(False, description="Use only what is on disk already; download nothing.")
    download_dir: Path | None = Field(None, description="Where downloads go; the source's own cache if absent.")

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the model runs.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field("auto", description="Number format of the model.")
    load_format: Literal["auto", "dummy"] = Field("auto", description="dummy: random weights, to measure speed.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of dummy weights and of requests that bring no seed.")
    threads: int = Field(0, ge=0, description="CPU threads of the engine; 0 takes every core it may use.")
    attention: str | None = Field(None, description="Force one attention candidate by name, such as reference.")
    cuda_graphs: bool | None = Field(None, description="Replay decode steps as CUDA graphs; on where there is a GPU.")
    overlap: bool | None = Field(None, description="Prepare a step while the one before it runs; on for a GPU.")
    portable: bool = Field(
        False, description="Use only kernels that GPUs before sm80 have too, such as V100 and 2080 Ti."
    )

    max_model_len: int | None = Field(None, ge=1, description="Tokens of prompt and answer together, at most.")
    max_num_seqs: int | None = Field(None, ge=1, description="Sequences that run at the same time, at most.")
    max_num_batched_tokens: int | None = Field(None, ge=1, description="Tokens that one step computes, at most.")
    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="Share of the GPU's memory that this server may take, from 0 to 1.",
        json_schema_extra={"metavar": "SHARE"},
    )  # fmt: skip
    kv_cache_memory: Bytes | None = Field(None, ge=1, description="Memory of the KV cache in bytes, or as 4GiB.")
    block_size: int = Field(16, ge=1, le=256, description="Tokens in one block of the KV cache.")
    max_pixels: int | None = Field(None, ge=1, description="Pixels of one image after resizing, at most.")
    test_faults: DirectoryPath | None = Field(
        None, description="For tests only: a directory in which files ask for faults."
    )


class ServeConfig(EngineConfig):
    """The options of `upright serve`: the engine's, and those of what stands before it."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    api_key: Names = Field((), description="Keys, comma-separated; a client must send one as a bearer token.")
    root_path: str = Field("", description="Prefix that a reverse proxy takes off the paths.")
    served_model_name: Names = Field((), description="Names clients may use, comma-separated; the first is shown.")

    max_queue: int = Field(1024, ge=0, description="Sequences that may wait for a place; past it clients get 429.")
    max_body_bytes: Bytes = Field(128 * 2**20, ge=1024, description="Size of one request's body, at most.")
    max_media_bytes: Bytes = Field(64 * 2**20, ge=1024, description="Size of one image file, at most.")
    max_image_pixels: int = Field(100_000_000, ge=1, description="Pixels of one image before resizing, at most.")
    media_timeout: float = Field(20.0, gt=0, description="Seconds to fetch one image URL, at most.")
    allow_private_media: bool = Field(False, description="Fetch image URLs that lead to private or loopback addresses.")
    allowed_local_media_path: DirectoryPath | None = Field(
        None, description="Directory whose files file:// URLs may name."
    )
    request_timeout: float | None = Field(None, gt=0, description="Seconds that a request may take in all; then 504.")
    drain_timeout: float = Field(30.0, ge=0, description="Seconds that running requests get to finish on shutdown.")
    standby: bool = Field(True, description="Keep a process in reserve that takes over when the engine dies.")
    hang_patience: float = Field(
        10.0, ge=1, description="Seconds that any step may take; more where it has more to do."
    )
    state_dir: Path | None = Field(None, description="Where incident reports and what was learned are kept.")
    record_content: bool = Field(False, description="Put prompts and outputs of requests into incident reports.")
    forget: bool = Field(
        False, description="Forget what was learned: this configuration's rung, measurements, what overflows float16."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @property
    def names(self) -> tuple[str, ...]:
        """What clients may call the model; the first is shown."""
        own = reader.NAME if self.model == str(reader.DIRECTORY) else self.model
        return self.served_model_name or (own,)


def environment_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings in the environment, by field name. Raises: ConfigError for a name with the prefix that is no option."""
    found = {}
    for name, value in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            option = name.removeprefix(ENVIRONMENT_PREFIX).lower()
            if option not in ServeConfig.model_fields:
                close = _closest(option)
                hint = f"; did you mean {ENVIRONMENT_PREFIX}{close.upper()}?" if close else ""
                raise ConfigError(f"environment variable {name} names no option{hint}")
            found[option] = value
    return found


def file_settings(path: Path) -> dict[str, Any]:
    """Settings of a YAML file, by field name; `-` and `_` in keys are the same. Raises: ConfigError."""
    import yaml

    try:
        text = path.read_text()
        root = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from error
    if content is None:
        return {}
    if not (isinstance(content, dict) and isinstance(root, yaml.MappingNode)):
        raise ConfigError(f"{path} must hold `option: value` lines, and holds a {type(content).__name__}")
    _refuse_repeated(path, [(str(key.value), key.start_mark.line + 1) for key, _ in root.value])
    settings = {}
    for name, value in content.items():
        key, option = str(name), str(name).replace("-", "_")
        if option not in ServeConfig.model_fields:
            close = _closest(option)
            suggested = close if "_" in key and "-" not in key else close.replace("_", "-")
            raise ConfigError(f"{path}: {key} is no option" + (f"; did you mean {suggested}?" if close else ""))
        settings[option] = value
    return settings


def make_config(
    command_line: Mapping[str, Any], environment: Mapping[str, str], config_file: Path | None = None
) -> ServeConfig:
    """The one configuration object. `command_line` holds only what was given there. Raises: ConfigError."""
    layers = [
        (str(config_file), file_settings(config_file) if config_file else {}),
        ("the environment", environment_settings(environment)),
        ("the command line", dict(command_line)),
    ]
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for where, settings in layers:
        merged |= settings
        origin |= dict.fromkeys(settings, where)
    try:
        return ServeConfig(**merged)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            option = str(problem["loc"][0])
            flag = "MODEL" if option == "model" else "--" + option.replace("_", "-")
            given = "" if option == "api_key" else f", got {problem['input']!r}"  # a secret stays one
            told = problem["msg"].removeprefix("Value error, ")  # what pydantic puts before our own words
            lines.append(f"{flag} ({origin[option]}): {told}{given}")
        raise ConfigError("; ".join(lines)) from error


def _refuse_repeated(path: Path, keys: list[tuple[str, int]]) -> None:
    """`keys` as they are written, with their lines: of two, YAML itself keeps the last and says nothing."""
    places: dict[str, tuple[str, int]] = {}
    for key, line in keys:
        option = key.replace("-", "_")
        if option in places:
            first, first_line = places[option]
            raise ConfigError(f"{path} sets {first} in line {first_line} and {key} in line {line}; keep one of them")
        places[option] = key, line


def _closest(option: str) -> str:
    """The name of the field that was probably meant; empty if none is close."""
    import difflib

    return next(iter(difflib.get_close_matches(option, ServeConfig.model_fields, n=1)), "")
