"""What every route works with, made once by `create_app`."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from starlette.requests import Request

from upright.api.metrics import Metrics
from upright.chat.context import ChatContext
from upright.supervise.service import EngineService


@dataclass(frozen=True)
class Front:
    service: EngineService
    context: ChatContext
    metrics: Metrics
    arrivals: Iterator[int] = field(default_factory=itertools.count)

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and answer together; the engine may have found room for fewer than was asked."""
        ready = self.service.ready
        return self.context.max_model_len if ready is None else min(self.context.max_model_len, ready.max_model_len)

    def fresh_seed(self) -> int:
        """A seed for a request that brings none: others for each, the same ones for each start of the server."""
        name = f"{self.context.config.seed}/{next(self.arrivals)}"
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def front_of(request: Request) -> Front:
    front: Front = request.app.state.front
    return front
