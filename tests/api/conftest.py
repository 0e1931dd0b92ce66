"""A real server on a loopback port, with a scripted engine behind it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fake_service import FakeService
from serving import CONTEXT_LENGTH, Server, answer_script

from upright.api.app import create_app
from upright.chat.context import ChatContext
from upright.config import ServeConfig
from upright.models.model_config import read_model_config


@pytest.fixture(scope="session")
def vision_directory(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("qwen2_vl")


@pytest.fixture(scope="session")
def make_context(tiny_checkpoint: Callable[[str], Path]) -> Callable[..., ChatContext]:
    """make_context(architecture, **options of serve)"""

    def make(architecture: str = "qwen2_vl", max_model_len: int = CONTEXT_LENGTH, **options: Any) -> ChatContext:
        directory = tiny_checkpoint(architecture)
        config = ServeConfig(model="tiny", **options)
        return ChatContext.load(directory, read_model_config(directory), config, max_model_len)

    return make


@pytest.fixture(scope="session")
def vision_context(make_context: Callable[..., ChatContext]) -> ChatContext:
    return make_context(max_body_bytes=4 * 2**20, max_image_pixels=50_000_000)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[ChatContext], Server]]:
    """serve(context): a server that runs until the module's tests are over."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(context: ChatContext) -> Server:
        service = FakeService(answer_script(context))
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(service, context), log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        running.append((server, thread))
        return Server(f"http://127.0.0.1:{listener.getsockname()[1]}", service, context)

    yield start
    for server, thread in running:
        server.should_exit = True
        server.force_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def module_server(serve: Callable[[ChatContext], Server], vision_context: ChatContext) -> Server:
    return serve(vision_context)


@pytest.fixture
def server(module_server: Server) -> Iterator[Server]:
    """A vision model's server, as if freshly started; no test may leave anything in its journal."""
    service = module_server.service
    service.script = answer_script(module_server.context)
    service.state, service.limit, service.others, service.ready = "ready", 1000, 0, None
    service.requests.clear()
    service.released.clear()
    yield module_server
    assert module_server.is_empty()
