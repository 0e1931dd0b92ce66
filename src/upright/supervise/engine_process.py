"""One engine process as the front holds it: started, talked to, watched, and ended."""

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
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from upright.messages import EngineOptions, FromEngine, Launch, ToEngine

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "upright.engine")
KEPT_LINES = 100  # of the engine's log, for the report of its death
LAST_WORDS_MS = 20  # of silence after an engine's end, until nothing more of it can be on its way
SPIN_COUNT = "1000"  # a few microseconds
MAX_SOCKET_PATH = 80  # bytes; the kernel allows 107 for the whole address


class EngineProcess:
    """A running engine and the front's end of its socket. Belongs to the event loop that started it."""

    def __init__(
        self, process: asyncio.subprocess.Process, socket: zmq.asyncio.Socket, life: int, directory: Path
    ) -> None:
        self._process = process
        self._socket = socket
        self._directory: Path | None = directory  # holds the socket's name until the engine has connected
        self._life = life  # write end of the pipe whose closing ends the engine
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._relay = asyncio.create_task(self._relay_log(), name="engine-log")

    @classmethod
    async def start(cls, options: EngineOptions, context: zmq.asyncio.Context, log_level: str) -> EngineProcess:
        """Start a process for `options`."""
        directory = private_directory()
        address = f"ipc://{directory}/{secrets.token_hex(8)}"
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(address)
        life_read, life_write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=(life_read,), start_new_session=True, env=_environment(options),
            )  # fmt: skip
        except BaseException:
            os.close(life_write)
            socket.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        finally:
            os.close(life_read)
        launch = Launch(options=options, address=address, life_fd=life_read, log_level=log_level)
        assert process.stdin is not None
        process.stdin.write(msgspec.msgpack.encode(launch))
        process.stdin.close()
        return cls(process, socket, life_write, directory)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: ToEngine) -> None:
        """Queue a message; it never blocks, and to an engine that has gone or is not there yet it goes nowhere."""
        sent = asyncio.ensure_future(self._socket.send(self._encoder.encode(message), flags=zmq.NOBLOCK))
        if sent.exception() is not None:  # with NOBLOCK it is done already, in one way or the other
            log.debug("engine %d is not connected; %s went nowhere", self.pid, type(message).__name__)

    async def listen(self, handle: Callable[[FromEngine], None]) -> str:
        """Hand every message to `handle` until the process has ended, then say how it ended."""
        reader = asyncio.create_task(self._read(handle), name="engine-messages")
        try:
            code = await self._process.wait()
            await self._last_words(reader)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await self._release()
        return describe_exit(code)

    def kill(self) -> None:
        """End the process and all of its group now."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("engine %d has ended already", self._process.pid)

    async def _read(self, handle: Callable[[FromEngine], None]) -> None:
        try:
            while True:
                content = await self._socket.recv()
                self._forget_address()
                handle(self._decoder.decode(content))
        except Exception:
            log.exception("engine %d sent what the front cannot handle; ending it", self.pid)
            self.kill()

    async def _last_words(self, reader: asyncio.Task[None]) -> None:
        """Let `reader` take what the engine sent before it ended: tokens that exist need not be lost."""
        while True:
            if reader.done() or not await self._socket.poll(LAST_WORDS_MS):
                return
            await asyncio.sleep(0)

    def _forget_address(self) -> None:
        """Remove the socket's name. Once both ends are connected nobody needs it, and a killed front leaves none."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    async def _release(self) -> None:
        self._socket.close()
        self._forget_address()
        os.close(self._life)
        await self._relay

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


def describe_exit(code: int) -> str:
    """`killed by SIGKILL` or `exit code 1`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _environment(options: EngineOptions) -> dict[str, str]:
    """The engine's environment: a thread count has to be set before its libraries are loaded."""
    environment = dict(os.environ)
    if options.threads:
        environment["OMP_NUM_THREADS"] = str(options.threads)
        # Threads that wait for each other soon sleep: beside another busy process, a thread that spins keeps the core
        # that the thread it waits for needs.
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    return environment
