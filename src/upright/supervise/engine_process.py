"""One engine process as the front holds it: started, told to load, talked to, looked at, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import zmq

from upright.engine import black_box
from upright.engine.black_box import BlackBox, Reading
from upright.messages import EngineOptions, FromEngine, Launch, Load, ToEngine, Waiting
from upright.supervise.socket_directory import SocketDirectory
from upright.supervise.watch import Hang

log = logging.getLogger(__name__)

Context = zmq.Context[zmq.Socket[bytes]]
COMMAND = (sys.executable, "-m", "upright.engine")
KEPT_LINES = 100  # of the engine's log, for the report of its death
LAST_WORDS_MS = 20  # of silence after an engine's end, until nothing more of it can be on its way
SPIN_COUNT = "1000"  # a few microseconds
DYING_SECONDS = 0.5  # between the end of an engine's socket and that of its process
STACK_SECONDS = 0.3  # for the interpreter to write its stacks
MOST_STACKS = 256 * 1024  # bytes
MOST_AT_ONCE = 64  # messages that are taken before the event loop sees to anything else


class EngineProcess:
    """A process and the front's end of its socket. Belongs to the event loop that started it.

    It imports everything and waits; `load` makes an engine of it. `ended` is done with the exit code once the process
    is gone, everything that it sent has been handed to `on_message`, and nothing of it is left.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, socket: zmq.Socket[bytes], life: int,
        directory: SocketDirectory, box: int, stacks: int,
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
        self._heard = 0  # messages
        self._doom: asyncio.TimerHandle | None = None  # it has closed its socket
        self._deaf = False  # it has said what the front cannot handle, or has ended
        self._directory: SocketDirectory | None = directory  # holds the socket's name until the engine has connected
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
    async def start(cls, context: Context, threads: int, log_level: str) -> EngineProcess:
        """Start a process that imports what it needs and waits. `threads`: of the CPU; 0 leaves it to the libraries.

        Raises: OSError when the machine has no room for a process.
        """
        descriptors: list[int] = []  # to close if no process comes of it
        directory = SocketDirectory()
        socket = context.socket(zmq.DEALER)
        try:
            address = directory.new_address()
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
            directory.remove()
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
        try:
            self._socket.send(self._encoder.encode(message), zmq.NOBLOCK)
        except zmq.ZMQError:
            log.debug("engine %d is not connected; %s went nowhere", self.pid, type(message).__name__)
            return
        asyncio.get_running_loop().call_soon(self._receive)  # sending may use up the sign that something has come

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
        pages = int(fields[21])
        if pages:  # one that is ending holds nothing any more
            self.resident_bytes = pages * os.sysconf("SC_PAGE_SIZE")
        return fields[0] in "Tt"

    # ---- its life ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> int:
        """Hand on every message until the process has ended; returns its exit code."""
        loop = asyncio.get_running_loop()
        monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        # NOTE: a socket's descriptor tells only of what comes after everything was taken: each is read once at first.
        readers = ((self._socket, self._receive), (monitor, partial(self._disconnected, monitor)))
        for socket, read in readers:
            loop.add_reader(socket.FD, read)
            loop.call_soon(read)
        try:
            code = await self._process.wait()
            await self._last_words()
        finally:
            self._deaf = True
            for socket, _ in readers:
                loop.remove_reader(socket.FD)
            if self._doom is not None:
                self._doom.cancel()
            self._socket.disable_monitor()
            monitor.close()
            self._socket.close()
            self._forget_address()
            os.close(self._life)
            self.kill()  # whatever it has started ends with it
            await self._relay
        return code

    def _receive(self) -> None:
        """Take what has come. The socket's descriptor tells of changes only, so all of it has to be taken."""
        try:
            for _ in range(MOST_AT_ONCE):
                if self._deaf:
                    return
                try:
                    content = self._socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    return
                self._take(content)
            asyncio.get_running_loop().call_soon(self._receive)
        except Exception as error:
            self._deaf = True
            log.exception("engine %d sent what the front cannot handle; ending it", self.pid)
            self.condemn(Hang("crash", f"it sent what the front cannot handle: {error}", 0.0))

    def _take(self, content: bytes) -> None:
        self._heard += 1
        self._forget_address()
        self.last_message = time.monotonic()
        if self._to_load is not None:
            options, self._to_load = self._to_load, None
            self.send(Load(options))
        message = self._decoder.decode(content)
        if isinstance(message, Waiting):
            self.imported = True
        self.on_message(message)

    def _disconnected(self, monitor: zmq.Socket[bytes]) -> None:
        """An engine that has closed its socket and lives on will never be heard of again."""
        if monitor.closed:
            return
        try:
            monitor.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        hang = Hang("crash", "it closed its socket to the front and went on living", DYING_SECONDS)
        self._doom = asyncio.get_running_loop().call_later(DYING_SECONDS, self.condemn, hang)

    async def _last_words(self) -> None:
        """Take what the engine sent before it ended: tokens that exist need not be lost."""
        heard = -1
        while heard != self._heard:
            heard = self._heard
            await asyncio.sleep(LAST_WORDS_MS / 1000)
            self._receive()

    def bury(self) -> None:
        """Give back what was kept for the report. Nothing can be read after this."""
        self._box.close()
        os.close(self._stacks_fd)

    def _forget_address(self) -> None:
        """Remove the socket's name. Once both ends are connected nobody needs it, and a killed front leaves none."""
        if self._directory is not None:
            self._directory.remove()
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


def _environment(threads: int) -> dict[str, str]:
    """The engine's environment: a thread count has to be set before its libraries are loaded."""
    environment = dict(os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
        # Threads that wait for each other soon sleep: beside another busy process, a thread that spins keeps the core
        # that the thread it waits for needs.
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    return environment
