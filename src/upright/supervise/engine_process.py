"""One engine process as the front holds it: started, told to load, talked to, looked at, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from upright.engine import black_box
from upright.engine.black_box import BlackBox, Reading
from upright.messages import EngineOptions, FromEngine, Launch, Load, ToEngine, Waiting
from upright.supervise.watch import Hang

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "upright.engine")
KEPT_LINES = 100  # of the engine's log, for the report of its death
LAST_WORDS_MS = 20  # of silence after an engine's end, until nothing more of it can be on its way
SPIN_COUNT = "1000"  # a few microseconds
MAX_SOCKET_PATH = 80  # bytes; the kernel allows 107 for the whole address
DYING_SECONDS = 0.5  # between the end of an engine's socket and that of its process
STACK_SECONDS = 0.3  # for the interpreter to write its stacks
MOST_STACKS = 256 * 1024  # bytes


class EngineProcess:
    """A process and the front's end of its socket. Belongs to the event loop that started it.

    It imports everything and waits; `load` makes an engine of it. `ended` is done with the exit code once the process
    is gone, everything that it sent has been handed to `on_message`, and nothing of it is left.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, socket: zmq.asyncio.Socket, life: int, directory: Path,
        box: int, stacks: int,
    ) -> None:  # fmt: skip
        self.on_message: Callable[[FromEngine], None] = lambda message: None
        self.hang: Hang | None = None  # why the front has ended it
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.last_message = self.started = time.monotonic()
        self.loading_since: float | None = None
        self.imported = False  # what serving needs, so that it can load at once
        self.resident_bytes: int | None = None  # when it was last looked at
        self._process = process
        self._socket = socket
        self._directory: Path | None = directory  # holds the socket's name until the engine has connected
        self._to_load: EngineOptions | None = None
        self._life = life  # write end of the pipe whose closing ends the engine
        self._box = BlackBox(box)
        os.close(box)  # the mapping stays
        self._stacks_fd = stacks
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)
        self._relay = asyncio.create_task(self._relay_log(), name="engine-log")
        self.ended = asyncio.create_task(self._listen(), name="engine-end")

    @classmethod
    async def start(cls, context: zmq.asyncio.Context, threads: int, log_level: str) -> EngineProcess:
        """Start a process that imports what it needs and waits. `threads`: of the CPU; 0 leaves it to the libraries.

        Raises: OSError when the machine has no room for a process.
        """
        descriptors: list[int] = []  # to close if no process comes of it
        directory = private_directory()
        socket = context.socket(zmq.DEALER)
        try:
            address = f"ipc://{directory}/{secrets.token_hex(8)}"
            for option, value in ((zmq.SNDHWM, 0), (zmq.RCVHWM, 0), (zmq.LINGER, 0)):
                socket.setsockopt(option, value)
            socket.bind(address)
            life_read, life_write = os.pipe()
            descriptors += (life_read, life_write)
            box = black_box.nameless_file(black_box.SIZE)
            descriptors.append(box)
            stacks = black_box.nameless_file()
            descriptors.append(stacks)
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=(life_read, box, stacks), start_new_session=True, env=_environment(threads),
            )  # fmt: skip
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            socket.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        os.close(life_read)  # the engine has its own
        launch = Launch(address=address, life_fd=life_read, black_box_fd=box, stacks_fd=stacks, log_level=log_level)
        assert process.stdin is not None
        process.stdin.write(msgspec.msgpack.encode(launch))
        process.stdin.close()
        return cls(process, socket, life_write, directory, box, stacks)

    # ---- talking to it -----------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._process.pid

    def load(self, options: EngineOptions) -> None:
        """Make an engine of the process, as soon as it has imported what it needs."""
        self.loading_since = time.monotonic()
        if self._directory is None:
            self.send(Load(options))
        else:  # it has not connected yet, and what is sent before would go nowhere
            self._to_load = options

    def send(self, message: ToEngine) -> None:
        """Queue a message; it never blocks, and to an engine that has gone it goes nowhere."""
        self.last_message = time.monotonic()
        sent = asyncio.ensure_future(self._socket.send(self._encoder.encode(message), flags=zmq.NOBLOCK))
        if sent.exception() is not None:  # with NOBLOCK it is done already, in one way or the other
            log.debug("engine %d is not connected; %s went nowhere", self.pid, type(message).__name__)

    def kill(self) -> None:
        """End the process and all of its group now."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("engine %d has ended already", self._process.pid)

    def condemn(self, hang: Hang) -> None:
        """End it for a reason, which is kept for the report. The first reason counts."""
        if self.hang is None:
            self.hang = hang
        self.kill()

    async def dump_stacks(self) -> None:
        """Let the interpreter write the stacks of all its threads, whatever it is doing. A stopped process cannot."""
        try:
            os.kill(self._process.pid, signal.SIGUSR1)
        except ProcessLookupError:
            return
        await asyncio.sleep(STACK_SECONDS)

    # ---- looking at it -----------------------------------------------------------------------------------------------

    def read_black_box(self) -> Reading | None:
        """What it is doing, or was doing when it ended; None before it was told to load."""
        return self._box.read()

    def read_stacks(self) -> str:
        """What the interpreter wrote when it died or was asked; empty if nothing."""
        return os.pread(self._stacks_fd, MOST_STACKS, 0).decode(errors="replace")

    def is_stopped(self) -> bool:
        """Whether the kernel has stopped it. Takes note of its memory on the way."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False  # not Linux, or it has just ended
        if fields[0] != "Z":
            self.resident_bytes = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        return fields[0] in "Tt"

    # ---- its life ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> int:
        """Hand on every message until the process has ended; returns its exit code."""
        monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        reader = asyncio.create_task(self._read(), name="engine-messages")
        watcher = asyncio.create_task(self._until_disconnected(monitor), name="engine-socket")
        try:
            code = await self._process.wait()
            await self._last_words(reader)
        finally:
            for task in (reader, watcher):
                task.cancel()
            await asyncio.gather(reader, watcher, return_exceptions=True)
            self._socket.disable_monitor()
            monitor.close()
            self._socket.close()
            self._forget_address()
            os.close(self._life)
            self.kill()  # whatever it has started ends with it
            await self._relay
        return code

    async def _read(self) -> None:
        try:
            while True:
                content = await self._socket.recv()
                self._forget_address()
                self.last_message = time.monotonic()
                if self._to_load is not None:
                    options, self._to_load = self._to_load, None
                    self.send(Load(options))
                message = self._decoder.decode(content)
                if isinstance(message, Waiting):
                    self.imported = True
                self.on_message(message)
        except Exception as error:
            log.exception("engine %d sent what the front cannot handle; ending it", self.pid)
            self.condemn(Hang("crash", f"it sent what the front cannot handle: {error}", 0.0))

    async def _until_disconnected(self, monitor: zmq.asyncio.Socket) -> None:
        """An engine that has closed its socket and lives on will never be heard of again."""
        await monitor.recv_multipart()
        await asyncio.sleep(DYING_SECONDS)
        self.condemn(Hang("crash", "it closed its socket to the front and went on living", DYING_SECONDS))

    async def _last_words(self, reader: asyncio.Task[None]) -> None:
        """Let `reader` take what the engine sent before it ended: tokens that exist need not be lost."""
        while True:
            if reader.done() or not await self._socket.poll(LAST_WORDS_MS):
                return
            await asyncio.sleep(0)

    def bury(self) -> None:
        """Give back what was kept for the report. Nothing can be read after this."""
        self._box.close()
        os.close(self._stacks_fd)

    def _forget_address(self) -> None:
        """Remove the socket's name. Once both ends are connected nobody needs it, and a killed front leaves none."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    async def _relay_log(self) -> None:
        """Pass the engine's output on, line by line, and keep the last of it."""
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # a line longer than the buffer, which readline has dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip("\n")
            self.last_lines.append(text)
            sys.stderr.write(text + "\n")


def private_directory() -> Path:
    """A directory that only this user may enter, with a path short enough for a socket's address."""
    directory = Path(tempfile.mkdtemp(prefix="upright-"))
    if len(str(directory)) > MAX_SOCKET_PATH:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="upright-", dir="/tmp"))
    return directory


def _environment(threads: int) -> dict[str, str]:
    """The engine's environment: a thread count has to be set before its libraries are loaded."""
    environment = dict(os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
        # Threads that wait for each other soon sleep: beside another busy process, a thread that spins keeps the core
        # that the thread it waits for needs.
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    return environment
