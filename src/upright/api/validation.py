"""From a JSON object to a typed body, with refusals that name the field."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from upright.api.errors import ApiError
from upright.api.fields import ADVICE, HARMLESS, UNSUPPORTED
from upright.api.schemas import Body
from upright.chat.context import ChatContext
from upright.chat.errors import BadRequest

log = logging.getLogger(__name__)

B = TypeVar("B", bound=Body)


def parse(kind: type[B], content: dict[str, Any]) -> B:
    """Raises: BadRequest naming the first field at fault."""
    given = {name: value for name, value in content.items() if value is not None}
    for name, value in given.items():
        if name in UNSUPPORTED and value not in UNSUPPORTED[name]:
            advice = f"; {ADVICE[name]}" if name in ADVICE else ""
            raise BadRequest(f"{name}={shown(value)} is not supported yet{advice}", name, "unsupported")
    try:
        body = kind.model_validate(given)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)[0]) from error
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", None, "invalid_json") from error
    unknown = [name for name in body.model_extra or () if name not in UNSUPPORTED and name not in HARMLESS]
    if unknown and log.isEnabledFor(logging.DEBUG):
        log.debug("ignored fields: %s", ", ".join(sorted(unknown))[:500])
    return body


def check_model(context: ChatContext, name: str | None) -> str:
    """The name under which the answer goes out. Raises: ApiError with 404 for a model that is not served."""
    if name is None:
        return context.names[0]
    if name not in context.names:
        served = ", ".join(repr(served) for served in context.names)
        raise ApiError(404, f"the model {shown(name)} is not served here; use {served}", "model_not_found")
    return name


def shown(value: Any) -> str:
    """A value fit for a message."""
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def _refusal(problem: ErrorDetails) -> BadRequest:
    path = [step for step in problem["loc"] if step not in ("str", "dict[str,any]")]
    name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
    if problem["type"] == "missing":
        return BadRequest(f"{name} is missing", name, "missing_field")
    if problem["type"] in ("int_type", "int_from_float") and _is_whole(problem["input"]):
        return BadRequest(f"{name} is too large: an integer has 64 bits at most", name, "invalid_value")
    reason = problem["msg"][:1].lower() + problem["msg"][1:]
    got = "" if problem["type"] == "too_long" else f", got {shown(problem['input'])}"
    return BadRequest(f"{name}: {reason}{got}", name, "invalid_value")


def _is_whole(value: Any) -> bool:
    """Whether a number was sent as an integer, which is a float here because it has more than 64 bits."""
    return isinstance(value, float) and abs(value) >= 2**63
