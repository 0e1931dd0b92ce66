"""Models from ModelScope, through its client `modelscope-hub`: its cache, its token, its MODELSCOPE_ENDPOINT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

from upright.config import ServeConfig
from upright.plan.download_meter import DownloadMeter
from upright.plan.source import UNUSED, ModelNotFound, Progress, SourceError, wanted_files
from upright.plan.source_errors import causes, disk_advice, offline_advice, reason


def download(config: ServeConfig, progress: Progress) -> Path:
    """The snapshot's directory in the cache. Raises: ModelNotFound, SourceError.

    A file whose download is cut goes on from where it was, after a restart too.
    """
    try:
        from modelscope_hub import HubApi, ProgressCallback, _download, errors, get_default_config
    except ModuleNotFoundError as error:
        raise SourceError(
            "models from ModelScope need its client; install it with: pip install 'upright-serve[modelscope]'"
        ) from error

    settings = get_default_config()
    folder = Path(config.download_dir or settings.cache_dir).expanduser()
    meter = DownloadMeter(progress)

    class Part(ProgressCallback):
        def __init__(self, filename: str, file_size: int) -> None:
            super().__init__(filename, file_size)
            meter.add(total=file_size)

        def update(self, size: int) -> None:
            meter.add(done=size)

    try:
        with without_bars(_download):
            snapshot = HubApi().download_repo(
                config.model,
                "model",
                revision=config.revision,
                cache_dir=folder,
                allow_patterns=wanted_files(config),
                ignore_patterns=list(UNUSED),
                local_files_only=config.offline,
                progress_callbacks=[Part],
            )
        return Path(snapshot)
    except errors.CacheNotFound as error:
        raise SourceError(offline_advice(config.model, config.revision, folder)) from error
    except (errors.HubError, OSError, RuntimeError) as error:
        raise explained(config, str(settings.endpoint), folder, first_failure(error), errors) from error


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
        f"could not download {config.model} from {endpoint} ({reason(error)}); check the network or set "
        "MODELSCOPE_ENDPOINT and start again: what has arrived is kept"
    )


@contextmanager
def without_bars(module: ModuleType) -> Iterator[None]:
    """Keep the client from drawing bars of its own across our display; it has no option for it."""
    bar = getattr(module, "tqdm", None)
    if bar is None:
        yield
        return
    module.tqdm = partial(bar, disable=True)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.tqdm = bar  # type: ignore[attr-defined]
