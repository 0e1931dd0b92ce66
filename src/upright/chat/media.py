"""The bytes behind an image part: data:, http(s):// and, where allowed, file:// URLs."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from upright.chat.errors import BadRequest
from upright.chat.fetch import FetchLimits, fetch, too_large

INLINE_CHARACTERS = 2**20  # a longer data: URL is decoded in a thread


def _from_base64(payload: str) -> bytes:
    """Strict, but for white space. Raises: ValueError."""
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        joined = "".join(payload.split())
        if joined == payload:
            raise
        return base64.b64decode(joined, validate=True)


@dataclass(frozen=True)
class MediaReader:
    """Reads what image parts name, within limits."""

    limits: FetchLimits
    local_root: Path | None  # file:// URLs may name what is under it; None: no file:// URLs

    async def read(self, url: str, param: str) -> bytes:
        """The file behind `url`. Raises: BadRequest."""
        scheme = url[:8].partition(":")[0].lower()
        if scheme == "data":
            if len(url) <= INLINE_CHARACTERS:
                return self._data(url, param)
            return await asyncio.to_thread(self._data, url, param)
        if scheme in ("http", "https"):
            return await fetch(url, self.limits, param)
        if scheme == "file":
            return await asyncio.to_thread(self._file, url, param)
        raise BadRequest(f"{param} must be a data:, http(s):// or file:// URL, got {url[:60]!r}", param)

    def _data(self, url: str, param: str) -> bytes:
        header, comma, payload = url.partition(",")
        if not comma:
            raise BadRequest(f"{param} is a data: URL without a comma; write data:image/png;base64,…", param)
        if len(payload) > self.limits.max_bytes * 3 + 4:  # even percent-encoded it cannot be within the limit
            raise too_large(None, self.limits.max_bytes, param)
        if header.lower().endswith(";base64"):
            try:
                content = _from_base64(unquote(payload) if "%" in payload else payload)
            except (binascii.Error, ValueError) as error:
                raise BadRequest(
                    f"{param} is a data: URL with broken base64: {error}", param, "invalid_image"
                ) from error
        else:
            content = unquote_to_bytes(payload)
        if len(content) > self.limits.max_bytes:
            raise too_large(len(content), self.limits.max_bytes, param)
        return content

    def _file(self, url: str, param: str) -> bytes:
        if self.local_root is None:
            raise BadRequest(
                "file:// URLs are refused; the server allows them when it was started with --allowed-local-media-path",
                param,
                "media_forbidden",
            )
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise BadRequest(f"{param}: a file:// URL names no host; write file:///path", param)
        try:
            root = self.local_root.resolve(strict=True)
            path = Path(unquote(parts.path)).resolve(strict=True)
            if not path.is_relative_to(root):
                raise BadRequest(f"{param}: the file is not under the directory that the server allows", param,
                                 "media_forbidden")  # fmt: skip
            if not path.is_file():
                raise BadRequest(f"{param} names no regular file", param, "media_unreachable")
            size = path.stat().st_size
            if size > self.limits.max_bytes:
                raise too_large(size, self.limits.max_bytes, param)
            return path.read_bytes()
        except (OSError, ValueError, RuntimeError) as error:
            # The path may lie outside of what is allowed: say no more about it than that.
            raise BadRequest(f"{param}: the file cannot be read", param, "media_unreachable") from error
