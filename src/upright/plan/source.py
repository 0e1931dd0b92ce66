"""Where the model's files are: a directory as it is, or an id that is looked up on Hugging Face or ModelScope.

Downloading is left to each hub's own library, imported only when an id has to be looked up. Neither imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from upright import reader
from upright.config import ServeConfig
from upright.logs import few
from upright.messages import Loading

Progress = Callable[[Loading], None]

WEIGHTS = "*.safetensors"
FILES = ("*.json", "*.jinja", "*.txt", WEIGHTS)
# Other formats of the same model live in folders, and Mistral's own format beside it: gigabytes that nobody reads.
UNUSED = ("*/*", "consolidated*")
IN_CHECKOUT = "src/upright/reader"
READER_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
)
NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"


class SourceError(Exception):
    """The model cannot be had. The message says why, and what to do."""


class ModelNotFound(SourceError):
    """There is no such directory, model or revision, or this user may not see it."""


def find_model(config: ServeConfig, progress: Progress) -> Path:
    """The directory that holds the model, downloaded first where `config.model` is an id.

    `progress` is called with bytes done and to do, from any thread; what it raises ends the download, if it is no
    Exception, after which the hubs' clients would try again.
    Raises: ModelNotFound, SourceError.
    """
    path = Path(config.model).expanduser()
    if path == reader.DIRECTORY:
        check_reader(config)
    if path.is_dir():
        return path
    check_id(config, path)
    if config.model_source == "modelscope":
        from upright.plan import modelscope as source
    else:
        from upright.plan import huggingface as source  # type: ignore[no-redef]
    found: Path = source.download(config, progress)
    check_snapshot(config, found)
    return found


def check_reader(config: ServeConfig) -> None:
    """Raises: ModelNotFound when the installation is without the reader's files; random weights need only its shape."""
    needed = READER_FILES + (("model.safetensors",) if config.load_format != "dummy" else ())
    missing = [name for name in needed if not (reader.DIRECTORY / name).is_file()]
    if missing:
        raise ModelNotFound(
            f"no MODEL is named, and the reader that comes with Upright is not whole: {reader.DIRECTORY} lacks "
            f"{few(missing)}; install upright-serve again (in a checkout: `git checkout -- {IN_CHECKOUT}`), "
            "or name a MODEL"
        )


def check_id(config: ServeConfig, path: Path) -> None:
    """Raises: ModelNotFound when `config.model` can be neither a directory nor an id."""
    if path.exists():
        raise ModelNotFound(f"{path} is a file; give the directory that holds config.json and the weights")
    pattern = f"{NAME}/{NAME}" if config.model_source == "modelscope" else f"({NAME}/)?{NAME}"
    if not re.fullmatch(pattern, config.model):
        raise ModelNotFound(
            f"there is no directory {path}, and {config.model!r} is not an id of a model either; "
            "an id looks like Qwen/Qwen2-VL-2B-Instruct"
        )


def wanted_files(config: ServeConfig) -> list[str]:
    """Patterns of the files to download; random weights need none from the hub."""
    return [pattern for pattern in FILES if pattern != WEIGHTS or config.load_format != "dummy"]


def is_wanted(config: ServeConfig, path: str) -> bool:
    """The patterns above, for a client that does not apply them."""
    return any(fnmatch(path, pattern) for pattern in wanted_files(config)) and not any(
        fnmatch(path, pattern) for pattern in UNUSED
    )


def check_snapshot(config: ServeConfig, found: Path) -> None:
    """Raises: ModelNotFound when the downloaded directory holds no configuration or no weights that can be read."""
    where = f"{config.model} ({config.revision or 'default revision'}, in {found})"
    if not (found / "config.json").is_file():
        raise ModelNotFound(f"{where} has no config.json, so it is not a model in the Hugging Face format")
    if config.load_format != "dummy" and not any(found.glob(WEIGHTS)):
        raise ModelNotFound(
            f"{where} has no *.safetensors file; give a repository with safetensors weights, "
            "or --load-format dummy for random ones"
        )
