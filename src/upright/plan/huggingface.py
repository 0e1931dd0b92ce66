"""Models from Hugging Face, through `huggingface_hub`: its cache, its token, its HF_ENDPOINT and HF_HUB_OFFLINE."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from upright.config import ServeConfig
from upright.plan.download_meter import DownloadMeter
from upright.plan.source import UNUSED, ModelNotFound, Progress, SourceError, wanted_files
from upright.plan.source_errors import check_space, disk_advice, offline_advice, reason

log = logging.getLogger(__name__)


def download(config: ServeConfig, progress: Progress) -> Path:
    """The snapshot's directory in the cache. Raises: ModelNotFound, SourceError.

    A file whose connection is cut goes on from where it was; after a restart, files that were complete are kept.
    """
    import httpx2
    from huggingface_hub import constants, errors, snapshot_download

    folder = Path(config.download_dir or constants.HF_HUB_CACHE).expanduser()
    page = f"{constants.ENDPOINT}/{config.model}"
    offline = config.offline or constants.HF_HUB_OFFLINE
    fetch: Callable[..., Any] = partial(
        snapshot_download,
        config.model,
        revision=config.revision,
        cache_dir=folder,
        allow_patterns=wanted_files(config),
        ignore_patterns=list(UNUSED),
    )
    meter = DownloadMeter(progress)
    out_of_reach: BaseException | None = None
    try:
        if not offline:
            try:
                files = fetch(dry_run=True)
                needed = sum(file.file_size or 0 for file in files if file.will_download)
                check_space(config.model, needed, folder)
                meter.expect(needed)
            except errors.DryRunError as error:
                # The hub's own refusals are told below; when it cannot be asked, the cache may still do.
                if not isinstance(error.__cause__, errors.HfHubHTTPError):
                    out_of_reach = error.__cause__ or error
        snapshot = fetch(local_files_only=offline or out_of_reach is not None, tqdm_class=progress_bar(meter))
        meter.finish()
        if out_of_reach is not None:
            why = reason(out_of_reach)
            log.warning("%s is out of reach (%s): using %s from %s", constants.ENDPOINT, why, config.model, folder)
        return Path(snapshot)
    except errors.GatedRepoError as error:
        raise ModelNotFound(
            f"{config.model} is gated: accept its terms at {page}, then set HF_TOKEN to a token of that account"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFound(
            f"{config.model} has no revision {config.revision!r}; its branches and tags are at {page}/tree/main"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"there is no directory {config.model}, and no model of that id that you may see at {constants.ENDPOINT} "
            f"(HTTP {error.response.status_code}); check the spelling, and set HF_TOKEN if the model is private"
        ) from error
    except errors.HFValidationError as error:
        raise ModelNotFound(f"{config.model!r} is not an id of a model on Hugging Face: {error}") from error
    except errors.HfHubHTTPError as error:
        raise http_error(config, constants.ENDPOINT, error) from error
    except errors.LocalEntryNotFoundError as error:
        if offline:
            raise SourceError(offline_advice(config.model, config.revision, folder)) from error
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            raise http_error(config, constants.ENDPOINT, error.__cause__) from error
        raise unreachable(config, constants.ENDPOINT, out_of_reach or error) from error
    except (httpx2.HTTPError, OSError, RuntimeError) as error:
        advice = disk_advice(error, folder)
        raise SourceError(advice) if advice else unreachable(config, constants.ENDPOINT, error) from error


def http_error(config: ServeConfig, endpoint: str, error: Any) -> SourceError:
    status = error.response.status_code
    if status in (401, 403):
        return ModelNotFound(
            f"{endpoint} refuses {config.model} (HTTP {status}); set HF_TOKEN to a token that may read it"
        )
    return SourceError(f"{endpoint} answered {config.model} with HTTP {status}; try again later, or set HF_ENDPOINT")


def unreachable(config: ServeConfig, endpoint: str, error: BaseException) -> SourceError:
    return SourceError(
        f"there is no directory {config.model}, and it could not be downloaded from {endpoint} ({reason(error)}); "
        "check the network or set HF_ENDPOINT and start again: what is complete is kept"
    )


def progress_bar(meter: DownloadMeter) -> type:
    """A progress bar class that draws nothing and tells the meter."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc, unused-ignore]
        monitor_interval = 0  # no thread that redraws

        def __init__(self, *arguments: Any, **options: Any) -> None:
            # The library passes options of its own, such as whether standard error is a terminal.
            options |= {"file": io.StringIO(), "disable": False, "leave": False}
            options.pop("name", None)
            super().__init__(*arguments, **options)

        def refresh(self, *_arguments: Any, **_options: Any) -> None:
            # In place of drawing under a lock, which a progress that raises would leave locked.
            if self.unit == "B":
                meter.reach(int(self.n))

    Bar.set_lock(threading.RLock())  # tqdm's own starts a helper process
    return Bar
