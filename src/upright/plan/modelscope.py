"""Models from ModelScope, through its client `modelscope-hub`: its cache, its token, its MODELSCOPE_ENDPOINT."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from upright.config import ServeConfig
from upright.plan.download_meter import DownloadMeter
from upright.plan.source import ModelNotFound, Progress, SourceError, is_wanted
from upright.plan.source_errors import causes, disk_advice, offline_advice, reason

if TYPE_CHECKING:
    from modelscope_hub import FileInfo


def download(config: ServeConfig, progress: Progress) -> Path:
    """The snapshot's directory in the cache. Raises: ModelNotFound, SourceError.

    A file whose download is cut goes on from where it was, after a restart too.
    """
    try:
        from modelscope_hub import HubApi, ProgressCallback, errors, get_default_config
    except ModuleNotFoundError as error:
        raise SourceError(
            "models from ModelScope need its client; install it with: pip install 'upright-serve[modelscope]'"
        ) from error

    settings = get_default_config()
    folder = Path(config.download_dir or settings.cache_dir).expanduser()
    meter = DownloadMeter(progress)

    class Part(ProgressCallback):
        def update(self, size: int) -> None:
            meter.add(size)

    hub = HubApi()
    try:
        files = (
            []
            if config.offline
            else entries(config, hub.list_repo_files(config.model, "model", revision=config.revision))
        )
        meter.expect(sum(file["Size"] for file in files))
        with without_bars():
            snapshot = hub.download_repo(
                config.model,
                "model",
                revision=config.revision,
                cache_dir=folder,
                local_files_only=config.offline,
                progress_callbacks=[Part],
                file_list=files,
            )
        meter.finish()
        return Path(snapshot)
    except errors.CacheNotFound as error:
        raise SourceError(offline_advice(config.model, config.revision, folder)) from error
    except (errors.HubError, OSError, RuntimeError) as error:
        raise explained(config, str(settings.endpoint), folder, first_failure(error), errors) from error


def entries(config: ServeConfig, files: Iterable[FileInfo]) -> list[dict[str, Any]]:
    """The files to download, as the client's `file_list` takes them."""
    return [
        {"Path": file.path, "Size": file.size, "Sha256": file.sha256}
        for file in files
        if not file.is_dir and is_wanted(config, file.path)
    ]


def first_failure(error: BaseException) -> BaseException:
    """Of a download of many files, why the first one failed; else the error itself."""
    return next(iter(getattr(error, "failed_files", {}).values()), error)


def explained(
    config: ServeConfig, endpoint: str, folder: Path, error: BaseException, errors: ModuleType
) -> SourceError:
    if any(isinstance(cause, errors.NotExistError) for cause in causes(error)):
        what = f"no revision {config.revision!r} of the model" if config.revision else "no model"
        return ModelNotFound(
            f"there is no directory {config.model}, and {what} {config.model} at {endpoint}; check the spelling, "
            "and set MODELSCOPE_API_TOKEN if the model is private"
        )
    if any(isinstance(cause, errors.AuthenticationError | errors.PermissionDeniedError) for cause in causes(error)):
        return ModelNotFound(
            f"{endpoint} refuses {config.model}; set MODELSCOPE_API_TOKEN to a token that may read it, "
            f"and accept the model's terms on its page"
        )
    advice = disk_advice(error, folder)
    if advice:
        return SourceError(advice)
    return SourceError(
        f"there is no directory {config.model}, and it could not be downloaded from {endpoint} ({reason(error)}); "
        "check the network or set MODELSCOPE_ENDPOINT and start again: what has arrived is kept"
    )


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the client from drawing bars of its own across our display; it has no option for it."""
    module = sys.modules.get("modelscope_hub._download")
    bar = getattr(module, "tqdm", None)
    if module is None or bar is None:
        yield
        return
    module.tqdm = partial(bar, disable=True)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.tqdm = bar  # type: ignore[attr-defined]
