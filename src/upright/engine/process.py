"""The engine's process: options in on standard input, requests in and outputs out over one ipc socket.

It holds nothing that the front's journal cannot rebuild, and it never outlives the front: a pipe that only the front
holds open ends when the front does, in whatever way.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import msgspec
import zmq

from upright.logs import configure_logging
from upright.messages import (
    Abort,
    EngineOptions,
    FromEngine,
    Launch,
    Loading,
    StartFailed,
    StepDone,
    Stop,
    Submit,
    ToEngine,
)

if TYPE_CHECKING:
    from upright.engine.core import EngineCore
    from upright.messages import Ready

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
IDLE_CHECK_SECONDS = 5.0  # how often an idle engine proves its block cache's invariants
DECODING_POLL_MS = 1  # how often it looks whether an image is decoded while nothing else is to be done


class Link:
    """The engine's end of the socket to the front."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.LINGER, 1000)  # milliseconds; a last word should get out
        self._socket.connect(address)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)

    def send(self, message: FromEngine) -> None:
        self._socket.send(self._encoder.encode(message))

    def receive(self, wait_ms: int) -> ToEngine | None:
        """The next message, waiting at most `wait_ms` for it; None if there is none."""
        if not self._socket.poll(wait_ms):
            return None
        return self._decoder.decode(self._socket.recv())

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def main() -> None:
    launch = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Launch)
    _die_with_front(launch.life_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the front's to handle: it drains first
    configure_logging("engine", launch.log_level)
    link = Link(launch.address)
    started = _start(launch.options, link)
    if started is None:
        link.close()
        sys.exit(1)
    core, ready = started
    link.send(ready)
    try:
        serve(core, link)
    finally:
        core.close()
        link.close()


def serve(core: EngineCore, link: Link) -> None:
    """Compute until the front says stop."""
    told_idle = True
    while True:
        if not core.has_work:
            wait_ms = int(IDLE_CHECK_SECONDS * 1000)
        else:
            wait_ms = DECODING_POLL_MS if core.only_decoding_images else 0
        message = link.receive(wait_ms)
        while message is not None:
            match message:
                case Submit(request=request):
                    core.submit(request)
                case Abort(ids=ids):
                    for request_id in ids:
                        core.abort(request_id)
                case Stop():
                    return
            message = link.receive(0)
        if core.has_work:
            outputs = core.step()
            if outputs or not core.has_work:
                link.send(StepDone(outputs, core.stats()))
            told_idle = not core.has_work
        else:
            if not told_idle:  # the last of the work was aborted, and no step will tell what that has freed
                link.send(StepDone([], core.stats()))
                told_idle = True
            core.scheduler.check()


def _start(options: EngineOptions, link: Link) -> tuple[EngineCore, Ready] | None:
    link.send(Loading("importing", 0, 0))
    from upright.engine.startup import StartError, start_engine
    from upright.kernels.attention.dispatch import NoAttention
    from upright.models.model_config import UnsupportedModel
    from upright.models.weight_files import WeightsError

    try:
        return start_engine(options, link.send)
    except StartError as error:
        link.send(StartFailed(str(error), error.advice))
    except (WeightsError, NoAttention, UnsupportedModel) as error:
        link.send(StartFailed(str(error)))
    return None


def _die_with_front(life_fd: int) -> None:
    """End this process as soon as the front is gone: the kernel's signal, and a pipe for where that does not reach."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.read(life_fd, 1):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="front-watch", daemon=True).start()
