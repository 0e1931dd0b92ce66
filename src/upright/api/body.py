"""Reading a request's body: bounded before it is buffered, and JSON before anything else sees it."""

from __future__ import annotations

import json
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from upright.api.errors import ApiError, ClientGone
from upright.chat.errors import BadRequest

DISCARDED_TIMES = 8  # a client that sends too much is heard out for so many limits, so that it gets to read the answer


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """The JSON object that a client sent.

    Raises: BadRequest when it is no JSON object; ApiError with 413 past `limit` bytes; ClientGone.
    """
    try:
        body = await _read(request, limit)
    except ClientDisconnect as error:
        raise ClientGone from error
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        content = _with_bare_numbers(body, error)
    if not isinstance(content, dict):
        raise BadRequest("the body must be a JSON object")
    return content


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    announced = int(declared) if declared.isdigit() else 0
    if announced > limit and "expect" in request.headers:
        raise _too_large(announced, limit)  # the client waits for leave to send: it need not send anything
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if max(size, announced) <= limit:
            chunks.append(chunk)
        elif size > DISCARDED_TIMES * limit:
            break
        else:
            chunks.clear()
    if max(size, announced) > limit:
        raise _too_large(max(size, announced), limit)
    return b"".join(chunks)


def _too_large(size: int, limit: int) -> ApiError:
    message = f"the body has {size:,} bytes or more, and the server takes at most {limit:,} (--max-body-bytes)"
    return ApiError(413, message, "body_too_large", {"connection": "close"})


def _with_bare_numbers(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """Python's clients write NaN and Infinity, which JSON lacks: read them, so that the field can be named later."""
    if b"NaN" in body or b"Infinity" in body:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            pass  # broken in another way too, of which the first error tells
    raise BadRequest(f"the body is not valid JSON: {error}", None, "invalid_json") from error
