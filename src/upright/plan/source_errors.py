"""What the failures of a download have in common, whichever hub it was."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from upright.plan.source import SourceError


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def check_space(model: str, needed: int, folder: Path) -> None:
    """Raises: SourceError when `needed` bytes do not fit on the disk of `folder`."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise SourceError(
            f"{model} needs {needed / 1e9:.2f} GB more in {folder}, whose disk has {free / 1e9:.2f} GB free; "
            "free some space or give another folder with --download-dir"
        )


def disk_advice(error: BaseException, folder: Path) -> str | None:
    """What to tell about a full or read-only disk; None when the failure is something else."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk of {folder} is full; free some space or give another folder with --download-dir"
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            return f"cannot write to {cause.filename or folder} ({cause.strerror}); give a folder with --download-dir"
    return None


def offline_advice(model: str, revision: str | None, folder: Path) -> str:
    version = f" at revision {revision}" if revision else ""
    return (
        f"{model}{version} is not complete in {folder}, and downloads are off; "
        "start once without --offline (or HF_HUB_OFFLINE), or give the model's directory"
    )


def reason(error: BaseException) -> str:
    """The innermost cause in one line: it is the one that names the network's fault."""
    innermost = list(causes(error))[-1]
    return " ".join(f"{type(innermost).__name__}: {innermost}".split())[:300]
