"""Reading a request's body: bounded before it is buffered, and JSON before anything else sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from upright.api.errors import ApiError, ClientGone
from upright.api.front import Front
from upright.api.schemas import SAFE_DIGITS
from upright.chat.errors import BadRequest
from upright.chat.json_text import HalfCharacter, read_json_text
from upright.supervise.service import EngineService, EngineUnavailable

DISCARDED_TIMES = 8  # a client that sends too much is heard out for so many limits, so that it gets to read the answer
PATIENCE = 30.0  # seconds that a body may take …
SLOWEST = 16 * 1024  # … and one more for so many bytes of it that have come
LOOK_SECONDS = 0.5  # between two looks at whether the server is being stopped


async def read_json(request: Request, front: Front) -> dict[str, Any]:
    """The JSON object that a client sent.

    Raises: BadRequest when it is no JSON object; ApiError with 408 for one that comes too slowly, with 413 past
    `--max-body-bytes`, with 415 when it is compressed; EngineUnavailable when the server is stopped meanwhile;
    ClientGone.
    """
    try:
        body = await _read(request, front.context.config.max_body_bytes, front.service)
    except ClientDisconnect as error:
        raise ClientGone from error
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        message = f"the body is compressed (Content-Encoding: {encoding[:40]}), which is not supported; send it plain"
        raise ApiError(415, message, "unsupported_content_encoding")
    content = _parsed(body)
    if not isinstance(content, dict):
        raise BadRequest("the body must be a JSON object")
    return content


async def _read(request: Request, limit: int, service: EngineService) -> bytes:
    declared = request.headers.get("content-length", "")
    announced = int(declared) if declared.isdigit() else 0
    if announced > limit and "expect" in request.headers:
        raise _too_large(announced, limit)  # the client waits for leave to send: it need not send anything
    chunks: list[bytes] = []
    size = 0
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(began + seconds_for(0)) as deadline, _until_drained(service, deadline):
            async for chunk in request.stream():
                size += len(chunk)
                deadline.reschedule(began + seconds_for(size))
                if max(size, announced) <= limit:
                    chunks.append(chunk)
                elif size > DISCARDED_TIMES * limit:
                    break
                else:
                    chunks.clear()
    except TimeoutError as error:
        if service.state == "draining":
            message = "the server is shutting down, and the body was not there yet"
            raise EngineUnavailable(message, service.retry_after) from error
        raise _too_slow(size, announced) from error
    if max(size, announced) > limit:
        raise _too_large(max(size, announced), limit)
    return b"".join(chunks)


@asynccontextmanager
async def _until_drained(service: EngineService, deadline: asyncio.Timeout) -> AsyncIterator[None]:
    """The deadline is now once the server is being stopped: what has not come by then would be refused anyway."""
    loop = asyncio.get_running_loop()
    next_look = loop.call_later(LOOK_SECONDS, lambda: look())

    def look() -> None:
        nonlocal next_look
        if service.state == "draining":
            deadline.reschedule(loop.time())
        else:
            next_look = loop.call_later(LOOK_SECONDS, look)

    try:
        yield
    finally:
        next_look.cancel()


def seconds_for(size: int) -> float:
    """How long a body may have taken when `size` bytes of it are there: a client that sends next to nothing cannot hold
    its connection for ever, and one on a slow line may send what it has.
    """
    return PATIENCE + size / SLOWEST


def _too_slow(size: int, announced: int) -> ApiError:
    of = f" of {announced:,}" if announced else ""
    message = (
        f"the body comes too slowly: {size:,} bytes{of} are there after {seconds_for(size):.0f} s; a body may take "
        f"{PATIENCE:.0f} s, and one more for every {SLOWEST:,} bytes"
    )
    return ApiError(408, message, "body_too_slow", {"connection": "close"})


def _too_large(size: int, limit: int) -> ApiError:
    message = f"the body has {size:,} bytes or more, and the server takes at most {limit:,} (--max-body-bytes)"
    return ApiError(413, message, "body_too_large", {"connection": "close"})


def _parsed(body: bytes) -> Any:
    """Raises: BadRequest."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            body.decode()
        except UnicodeDecodeError as fault:
            raise BadRequest(
                f"the body is not valid JSON: it is not UTF-8, byte {fault.start} is 0x{body[fault.start]:02x}",
                None,
                "invalid_json",
            ) from error
        return _with_odd_numbers(body, error)


def _with_odd_numbers(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """Python's clients write NaN and Infinity, which JSON lacks, and numbers of any length: read them all the same, so
    that the field can be named later.
    """
    if b"NaN" in body or b"Infinity" in body or "infinity" in str(error):
        try:
            return read_json_text(body.decode(), _number)
        except HalfCharacter as half:
            raise BadRequest(f"the body is not valid JSON: {half}", None, "invalid_json") from half
        except (ValueError, RecursionError):
            pass  # broken in another way too, of which the first error tells
    raise BadRequest(f"the body is not valid JSON: {error}", None, "invalid_json") from error


def _number(digits: str) -> int | float:
    """A longer integer becomes a float, as `orjson` has it: none with thousands of digits is worth the time."""
    return int(digits) if len(digits) <= SAFE_DIGITS else float(digits)
