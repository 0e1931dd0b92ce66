"""The HTTP application: every route in one list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from upright.api import about
from upright.api.chat_completions import chat_completions
from upright.api.completions import completions
from upright.api.front import Front
from upright.api.metrics import Metrics
from upright.api.routing import route, unrouted
from upright.api.tokenization import detokenize, tokenize
from upright.chat.context import ChatContext
from upright.supervise.service import EngineService

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(service: EngineService, context: ChatContext) -> FastAPI:
    """The application that serves `context`'s model through `service`; starts and stops neither."""
    from fastapi import FastAPI  # half a second of imports that an engine can load behind

    app = FastAPI(
        title="Upright",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={HTTPException: unrouted},
        routes=[
            route("POST", "/v1/chat/completions", chat_completions),
            route("POST", "/v1/completions", completions),
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
    return app
