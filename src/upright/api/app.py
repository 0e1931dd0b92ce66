"""The HTTP application: every route in one list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from upright.api import about
from upright.api.chat_completions import chat_completions
from upright.api.completions import completions
from upright.api.front import Front
from upright.api.metrics import Metrics
from upright.api.routing import answering, route, unrouted
from upright.api.tokenization import detokenize, tokenize
from upright.chat.context import ChatContext
from upright.supervise.service import EngineService

if TYPE_CHECKING:
    from fastapi import FastAPI

GENERATING = {"/v1/chat/completions": chat_completions, "/v1/completions": completions}


class Application:
    """Requests to generate go straight to their handlers, everything else goes through the framework.

    What a framework does around a request and around each piece of its answer would take a good part of the time that
    the front has for them, and these handlers need none of it.
    """

    def __init__(self, framework: FastAPI) -> None:
        self.state = framework.state
        self._framework: ASGIApp = framework
        self._direct = {path: answering("POST", path, handler) for path, handler in GENERATING.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = None
        if scope["type"] == "http" and scope["method"] == "POST":
            direct = self._direct.get(scope["path"].removeprefix(scope.get("root_path", "")))
        if direct is None:
            await self._framework(scope, receive, send)
            return
        scope["app"] = self
        response = await direct(Request(scope, receive, send))
        await response(scope, receive, send)


def create_app(service: EngineService, context: ChatContext) -> Application:
    """The application that serves `context`'s model through `service`; starts and stops neither."""
    from fastapi import FastAPI  # half a second of imports that an engine can load behind

    app = FastAPI(
        title="Upright",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={HTTPException: unrouted},
        routes=[
            *(route("POST", path, handler) for path, handler in GENERATING.items()),
            route("GET", "/v1/models", about.models),
            route("GET", "/v1/models/{name:path}", about.one_model),
            route("POST", "/tokenize", tokenize),
            route("POST", "/detokenize", detokenize),
            route("GET", "/health", about.health, protected=False),
            route("GET", "/status", about.status, protected=False),
            route("GET", "/live", about.live, protected=False),
            route("GET", "/version", about.version, protected=False),
            route("GET", "/metrics", about.metrics, protected=False),
        ],
    )
    app.state.front = Front(service, context, Metrics(service))
    return Application(app)
