"""What the server says of itself: models, health, version, metrics."""

from __future__ import annotations

import msgspec
import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from upright import __version__
from upright.api.front import Front, front_of
from upright.api.validation import check_model


async def models(request: Request) -> Response:
    """GET /v1/models: every name under which the model may be asked for."""
    front = front_of(request)
    listed = [_model(front, name) for name in front.context.names]
    return _json({"object": "list", "data": listed})


async def one_model(request: Request) -> Response:
    """GET /v1/models/NAME"""
    front = front_of(request)
    return _json(_model(front, check_model(front.context, request.path_params["name"])))


def _model(front: Front, name: str) -> dict[str, object]:
    modalities = ["text"] if front.context.image_rules is None else ["text", "image"]
    return {
        "id": name,
        "object": "model",
        "created": front.context.created,
        "owned_by": "upright",
        "root": front.context.config.model,
        "parent": None,
        "max_model_len": front.max_model_len,
        "architecture": {"input_modalities": modalities, "output_modalities": ["text"]},  # as others tell it
    }


async def health(request: Request) -> Response:
    """GET /health: 200 exactly when a request would be served now; else why not, and for how long."""
    status = front_of(request).service.status()
    if status.retry_after is None:
        return _json({"state": status.state})
    told = {"state": status.state, "reason": status.reason, "retry_after": status.retry_after}
    return Response(orjson.dumps(told), 503, {"retry-after": str(status.retry_after)}, "application/json")


async def status(request: Request) -> Response:
    """GET /status: engines, rung, deaths and recoveries."""
    return _json(msgspec.to_builtins(front_of(request).service.status()))


async def live(request: Request) -> Response:
    """GET /live: 200 while the front itself is well, whatever the engine does."""
    return _json({"state": "live"})


async def version(request: Request) -> Response:
    return _json({"version": __version__})


async def metrics(request: Request) -> Response:
    return Response(generate_latest(front_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
