"""The engine's process: what to connect to on standard input, then everything else over one ipc socket.

It imports all that serving needs and waits; `Load` makes it an engine. It holds nothing that the front's journal cannot
rebuild, and it never outlives the front: a pipe that only the front holds open ends when the front does, in whatever
way.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import io
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from upright.engine.black_box import BlackBox
from upright.engine.faults import Faults
from upright.engine.lifeline import die_with
from upright.engine.link import Link
from upright.engine.memory_errors import is_out_of_memory
from upright.engine.recorder import Recorder
from upright.logs import configure_logging
from upright.messages import (
    Abort,
    Crashed,
    EngineOptions,
    Launch,
    Load,
    Loading,
    StartFailed,
    StepDone,
    Stop,
    Submit,
    ToEngine,
    Waiting,
)

if TYPE_CHECKING:
    from upright.engine.core import EngineCore
    from upright.messages import Ready

log = logging.getLogger(__name__)

BEAT_MS = 250  # how often an idle engine gives a sign of life; the least patience of the front is a second
IDLE_CHECK_SECONDS = 5.0  # how often an idle engine proves its block cache's invariants
DECODING_POLL_MS = 1  # how often it looks whether an image is decoded while nothing else is to be done
GAUGES_SECONDS = 0.25  # between two reports of steps that add no token
COMPILE_SECONDS = 0.1  # from which a kernel was compiled; one from the cache is there sooner
TURN_SECONDS = 0.001  # of a thread of Python while another waits: images are decoded beside the one that launches steps


def main() -> None:
    launch = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Launch)
    die_with(launch.life_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the front's to handle: it drains first
    stacks = _write_stacks_to(launch.stacks_fd)
    configure_logging("engine", launch.log_level)
    sys.setswitchinterval(TURN_SECONDS)
    recorder = Recorder(BlackBox(launch.black_box_fd))
    link = Link(launch.address)
    try:
        code = run(link, recorder)
    except Exception as error:
        log.exception("the engine ends, because of an exception that nothing handles")
        link.send(last_words(error))
        code = 1
    link.close()
    logging.shutdown()
    stacks.flush()
    # Not sys.exit: it would wait for threads, and one that decodes an image may be the very one that hangs.
    os._exit(code)


def run(link: Link, recorder: Recorder) -> int:
    """Import, wait, load, serve. Returns the process's exit code."""
    link.send(Loading("importing", 0, 0))
    _import_all()
    link.send(Waiting())
    options = _wait_for_options(link)
    if options is None:
        return 0
    started = _load(options, link, recorder)
    if started is None:
        return 1
    core, ready = started
    gc.collect()
    gc.freeze()  # what loading has left is never garbage; to look at it again and again would hold up steps
    _watch_compiles()
    link.send(ready)
    try:
        serve(core, link)
    finally:
        core.close()
    return 0


def serve(core: EngineCore, link: Link) -> None:
    """Compute until the front says stop."""
    checked = told = time.monotonic()
    told_idle = True
    while True:
        if not core.has_work:
            core.recorder.rest("idle")
            wait_ms = 0 if core.runner.idle() else BEAT_MS
        else:
            wait_ms = DECODING_POLL_MS if core.only_decoding_images else 0
        message = link.receive(wait_ms)
        while message is not None:
            if isinstance(message, Stop):
                return
            _handle(core, message)
            message = link.receive(0)
        now = time.monotonic()
        if core.has_work:
            several, plain = core.step()
            # A long prefill adds no token for many steps, and the gauges have to move all the same.
            if several or plain or not core.has_work or now - told >= GAUGES_SECONDS:
                link.send(StepDone(several, core.stats(), plain))
                told = now
            told_idle = not core.has_work
        elif not told_idle:  # the last of the work was aborted, and no step will tell what that has freed
            link.send(StepDone([], core.stats()))
            told_idle = True
        elif now - checked >= IDLE_CHECK_SECONDS:
            core.scheduler.check()
            checked = now


def _watch_compiles() -> None:
    """Every kernel is meant to be there before the engine serves: each that is not is worth a report."""
    from upright.kernels.late_compiles import watch_compiles

    def tell(kernel: str, seconds: float) -> None:
        level = logging.WARNING if seconds > COMPILE_SECONDS else logging.DEBUG
        log.log(level, "the engine waited %.2f s for a kernel that was not compiled before: %s", seconds, kernel)

    watch_compiles(tell)


def last_words(error: Exception) -> Crashed:
    """What is told of an exception that ends the engine."""
    told = "".join(traceback.format_exception(error))
    traceback.clear_frames(error.__traceback__)  # what they hold may be the memory that telling it needs
    return Crashed(f"{type(error).__name__}: {error}", told, is_out_of_memory(error))


def _handle(core: EngineCore, message: ToEngine) -> None:
    match message:
        case Submit(request=request):
            core.submit(request)
        case Abort(ids=ids):
            for request_id in ids:
                core.abort(request_id)
        case _:
            log.error("%s makes no sense to an engine that serves", type(message).__name__)


def _import_all() -> None:
    """Everything that serving needs and that takes no device memory: an engine that waits is one that starts soon."""
    from PIL import Image as Pillow
    from PIL import ImageOps  # noqa: F401

    import upright.engine.startup  # noqa: F401
    from upright.kernels.compiled import import_compiler

    import_compiler()
    Pillow.init()  # its decoders are modules of their own


def _wait_for_options(link: Link) -> EngineOptions | None:
    """What to load; None if nothing ever will be."""
    while True:
        match message := link.receive(None):
            case Load(options=options):
                return options
            case Stop():
                return None
            case _:
                log.error("%s makes no sense to an engine that waits", type(message).__name__)


def _load(options: EngineOptions, link: Link, recorder: Recorder) -> tuple[EngineCore, Ready] | None:
    from upright.engine.start_error import StartError
    from upright.engine.startup import start_engine

    recorder.rest("loading")

    def tell(progress: Loading) -> None:
        recorder.beat()
        link.send(progress)

    faults = Faults(Path(options.faults), link.close) if options.faults is not None else None
    try:
        return start_engine(options, tell, recorder, faults)
    except StartError as error:
        link.send(StartFailed(str(error), error.advice, error.memory))
    return None


def _write_stacks_to(fd: int) -> io.FileIO:
    """Have the interpreter write every thread's stack to `fd` when it dies of a signal, or is asked by SIGUSR1.

    It writes to the bare descriptor, so the returned file must live as long as the process.
    """
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)  # wherever a reader's position is
    file = io.FileIO(fd, "a")
    faulthandler.enable(file=file, all_threads=True)
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
    return file
