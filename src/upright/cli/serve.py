"""`upright serve`: from the command line to a server that answers, and back to a clean machine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from upright.cli.complaint import EXIT_FAILED, EXIT_USAGE, CannotServe, complain
from upright.cli.leaving import leaving_at_once
from upright.cli.listener import listen
from upright.cli.options import with_options
from upright.config import ConfigError, ServeConfig, make_config

if TYPE_CHECKING:
    import uvicorn

    from upright.chat.context import ChatContext
    from upright.cli.signals import StopSignals
    from upright.messages import Loading
    from upright.models.model_config import ModelConfig
    from upright.plan.plan import Plan
    from upright.supervise.supervisor import Supervisor

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75  # longer than clients keep idle connections, so that none is closed under a request
GRACEFUL_SHUTDOWN_SECONDS = 5  # for responses to be written once every request has ended
LOG_WIDTH = 200

# What is done with a server once it serves, given its address and its options; whether it shall go on serving.
Visit = Callable[[str, ServeConfig], Awaitable[bool]]

SUMMARY = """Serve MODEL behind the OpenAI API; without MODEL, the small reader that comes with Upright.

Every option is also an environment variable, UPRIGHT_MAX_NUM_SEQS=8 for --max-num-seqs 8, and a key of the file of
--config, `max-num-seqs: 8`; the command line wins over the environment, and that over the file.
"""


def serve_command() -> Callable[..., None]:
    return with_options(serve, SUMMARY)


def serve(given: dict[str, Any], config_file: Path | None, visit: Visit | None = None) -> None:
    """Until told to stop, or until `visit` has had enough; ends the process."""
    began = time.monotonic()
    try:
        config = make_config(given, os.environ, config_file)
    except ConfigError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    from upright.logs import configure_logging

    configure_logging("front", config.log_level)
    try:
        with leaving_at_once():  # until StopSignals takes over
            state = _state_directory(config)
            listener = listen(config.host, config.port)
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                code = runner.run(_serve(config, listener, state, began, visit))
    except CannotServe as error:
        complain(str(error))
        sys.exit(EXIT_FAILED)
    sys.exit(code)


async def _serve(
    config: ServeConfig, listener: socket.socket, state: Path | None, began: float, visit: Visit | None
) -> int:
    """Load, serve until told to stop, drain. Returns the exit code. Raises: CannotServe."""
    from rich.console import Console

    from upright.cli.banner import LoadingDisplay, banner
    from upright.cli.signals import StopSignals, unless

    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = LOG_WIDTH  # a log file has no edge to break lines at
    signals = StopSignals()
    with LoadingDisplay(console) as display:
        prepared = await unless(signals.stop, asyncio.to_thread(prepare, config, display.show))
        if prepared is None:
            display.close()
            log.info("stopped before anything was started; what has been downloaded is kept")
            # No engine is there to be ended, and the threads of a download would be waited for, network and all.
            logging.shutdown()
            os._exit(0)
        supervisor = _supervisor(config, prepared, state, display.show)
        supervisor.start()
        try:
            # The front's own imports and the tokenizer take their time while the engine loads.
            context = await unless(signals.stop, asyncio.to_thread(_load_context, config, prepared))
            if context is None:
                return 0
            server = _server(config, supervisor, context)
            gc.freeze()  # all that is there now stays: no collection need walk through it and hold up every stream
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
            try:
                await unless(signals.stop, supervisor.settled())
                if signals.stop.is_set():
                    return 0
                if supervisor.ready is None:
                    raise CannotServe(supervisor.failure)
                display.close()
                address = _address(config, listener)
                seconds = time.monotonic() - began
                console.print(banner(supervisor.ready, prepared.plan, context, address, seconds))
                if visit is None or await unless(signals.stop, visit(address, config)):
                    await _until_stopped(signals, serving)
                await unless(signals.hurry, supervisor.drain(config.drain_timeout))
            finally:
                supervisor.give_up_requests()
                server.should_exit = True
                await serving
        finally:
            await supervisor.stop()
            log.info("stopped; nothing is left running")
    return 0


async def _until_stopped(signals: StopSignals, serving: asyncio.Task[None]) -> None:
    stopped = asyncio.create_task(signals.stop.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


def _server(config: ServeConfig, supervisor: Supervisor, context: ChatContext) -> uvicorn.Server:
    """The HTTP server. It answers from the first moment: /live at once, the rest with 503 until the engine serves."""
    import uvicorn

    from upright.api.app import create_app

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # the signals are ours: they drain before the server stops

    return Server(
        uvicorn.Config(
            create_app(supervisor, context),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nobody asks who the client is
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
            root_path=config.root_path,
        )
    )


def _state_directory(config: ServeConfig) -> Path | None:
    """None: what would be kept between starts is not. Raises: CannotServe for a place that was named and is no good."""
    from upright.supervise.state_directory import NoStateDirectory, make_writable, state_directory

    try:
        state = config.state_dir or state_directory()
        make_writable(state)
    except NoStateDirectory as error:
        if config.state_dir is not None:
            raise CannotServe(str(error)) from error
        log.warning("%s; neither reports of deaths nor what is learned will outlive this server", error)
        return None
    return state


def _supervisor(
    config: ServeConfig, prepared: Prepared, state: Path | None, progress: Callable[[Loading], None]
) -> Supervisor:
    from upright.supervise.learned import Lessons, fingerprint
    from upright.supervise.rungs import ladder
    from upright.supervise.socket_directory import remove_abandoned
    from upright.supervise.state_directory import incidents_directory
    from upright.supervise.supervisor import Care, Supervisor

    remove_abandoned()
    lessons, options = None, prepared.plan.options
    if state is not None:
        lessons = Lessons(state / "rungs.json", fingerprint(options, prepared.hardware))
        measured, overflowed = state / "memory.json", state / "float16.json"
        if config.forget:
            lessons.forget()
            measured.unlink(missing_ok=True)
            overflowed.unlink(missing_ok=True)
        options = msgspec.structs.replace(options, measured=str(measured), overflowed=str(overflowed))
    care = Care(
        max_queue=config.max_queue,
        log_level=config.log_level,
        patience=config.hang_patience,
        standby=config.standby,
        request_timeout=config.request_timeout,
        incidents=incidents_directory(state) if state is not None else None,
        record_content=config.record_content,
    )
    return Supervisor(ladder(options, prepared.plan.sequence_bytes), care, lessons, progress)


@dataclass(frozen=True)
class Prepared:
    """What is known before an engine is started."""

    directory: Path
    model: ModelConfig
    plan: Plan
    hardware: str  # in words, to tell this machine from another


def prepare(config: ServeConfig, progress: Callable[[Loading], None]) -> Prepared:
    """Find the model and make the plan; in a thread, since a download may take long. Raises: CannotServe."""
    from upright.models.model_config import UnsupportedModel, read_model_config
    from upright.models.weight_files import WeightsError, weight_files
    from upright.plan.hardware import Hardware, probe
    from upright.plan.plan import Machine, PlanError, make_plan
    from upright.plan.source import SourceError, find_model

    try:
        directory = find_model(config, progress)
        model = read_model_config(directory)
        if config.load_format != "dummy":
            weight_files(directory)  # a gap is told now, not after an engine has been started
        hardware = Hardware((), "--device cpu") if config.device == "cpu" else probe()
        machine = Machine.here(hardware)
        plan = make_plan(config, model, directory, machine)
    except (SourceError, UnsupportedModel, WeightsError, PlanError) as error:
        raise CannotServe(str(error)) from error
    names = ", ".join(gpu.name for gpu in hardware.gpus) or f"{platform.machine()}, {machine.cores} cores"
    return Prepared(directory, model, plan, names)


def _load_context(config: ServeConfig, prepared: Prepared) -> ChatContext:
    """The tokenizer and template, and the imports that HTTP needs. Raises: CannotServe."""
    import uvicorn.protocols.http.httptools_impl  # noqa: F401  (imported here, behind the engine's load)

    import upright.api.app  # noqa: F401
    from upright.chat.context import ChatContext
    from upright.chat.errors import TokenizerError

    options = prepared.plan.options
    try:
        return ChatContext.load(prepared.directory, prepared.model, config, options.max_model_len, options.max_pixels)
    except TokenizerError as error:
        raise CannotServe(str(error)) from error


def _address(config: ServeConfig, listener: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
