"""How a handler becomes a route: the key is checked, every exception becomes an answer, errors are counted."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from upright.api.errors import ApiError, ClientGone, Failure, describe
from upright.api.front import front_of

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


def route(method: str, path: str, handler: Handler, protected: bool = True) -> Route:
    """`protected`: a client has to show a key where the server has any."""
    return Route(path, answering(method, path, handler, protected), methods=[method])


def answering(method: str, path: str, handler: Handler, protected: bool = True) -> Handler:
    """`handler` with every failure as an answer; it raises nothing. `protected`: as for `route`."""

    async def endpoint(request: Request) -> Response:
        started = time.monotonic()
        try:
            if protected:
                check_key(request)
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - the one place where everything becomes an answer
            failure = describe(error)
            if not isinstance(error, ClientGone):
                front_of(request).metrics.http_errors.labels(str(failure.status)).inc()
            response = failure.response()
        log.debug("%s %s %d in %.3f s", method, path, response.status_code, time.monotonic() - started)
        return response

    return endpoint


def check_key(request: Request) -> None:
    """Raises: ApiError with 401. Takes the same time for every wrong key."""
    keys = front_of(request).context.config.api_key
    if not keys:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    if scheme.lower() != "bearer" or not any(right):
        message = "a valid API key is needed: send it as `Authorization: Bearer KEY`"
        raise ApiError(401, message, "invalid_api_key", {"www-authenticate": "Bearer"})


async def unrouted(request: Request, error: Exception) -> Response:
    """An answer for paths and methods that no route takes."""
    if not isinstance(error, HTTPException):
        raise error
    front_of(request).metrics.http_errors.labels(str(error.status_code)).inc()
    message = error.detail
    if error.status_code == 404:
        message = f"there is nothing at {request.method} {request.url.path[:200]}"
    elif error.status_code == 405:
        message = f"{request.url.path[:200]} does not take {request.method}"
    return Failure(error.status_code, message, headers=dict(error.headers or {})).response()
