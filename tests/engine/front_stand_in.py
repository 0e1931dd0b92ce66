"""The front, as an engine process meets it: starts one, talks to it, and reads what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import zmq

from upright.engine.black_box import SIZE, BlackBox, Reading, nameless_file
from upright.messages import EngineOptions, FromEngine, Launch, Load, SequenceOutput, StepDone, Submit, ToEngine

PATIENCE_MS = 120_000  # a hung test must end; nothing is measured with it

M = TypeVar("M")


def options(model: Path, **more: Any) -> EngineOptions:
    given: dict[str, Any] = {
        "model_path": str(model), "device": "cpu", "dtype": "float32", "load_format": "auto", "max_model_len": 512,
        "max_num_seqs": 4, "max_num_batched_tokens": 64, "kv_cache_bytes": 2**24, "block_size": 16, "max_pixels": None,
        "seed": 0, "threads": 1,
    }  # fmt: skip
    return EngineOptions(**given | more)


class EngineUnderTest:
    """`with EngineUnderTest() as engine`: a process, killed at the end if it still lives."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="upright-")
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        address = f"ipc://{self._directory.name}/engine"
        self._socket.bind(address)
        self._decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)
        self._box_fd, self._stacks_fd = nameless_file(SIZE), nameless_file()
        self._box = BlackBox(self._box_fd)
        life_read, self._life = os.pipe()
        launch = Launch(address=address, life_fd=life_read, black_box_fd=self._box_fd, stacks_fd=self._stacks_fd)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "upright.engine"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, pass_fds=(life_read, self._box_fd, self._stacks_fd),
        )  # fmt: skip
        os.close(life_read)
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.msgpack.encode(launch))
        self.process.stdin.close()

    def __enter__(self) -> EngineUnderTest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        sys.stdout.write(self.process.stdout.read().decode())  # pytest shows it when a test fails
        self.process.stdout.close()
        self._socket.close(0)
        self._context.term()
        self._box.close()
        for fd in (self._box_fd, self._stacks_fd, self._life):
            os.close(fd)
        self._directory.cleanup()

    # ---- messages ----------------------------------------------------------------------------------------------------

    def send(self, message: ToEngine) -> None:
        self._socket.send(msgspec.msgpack.encode(message))

    def receive(self) -> FromEngine:
        assert self._socket.poll(PATIENCE_MS), "the engine says nothing"
        return self._decoder.decode(self._socket.recv())

    def until(self, kind: type[M]) -> M:
        """The next message of a kind; what comes before it is dropped."""
        while True:
            message = self.receive()
            if isinstance(message, kind):
                return message

    def load(self, loaded: EngineOptions) -> None:
        self.send(Load(loaded))

    def answer(self, submit: Submit) -> list[SequenceOutput]:
        """All that the engine says to one request."""
        self.send(submit)
        outputs: list[SequenceOutput] = []
        while not outputs or outputs[-1].finish is None:
            done = self.until(StepDone)
            told = done.outputs + done.plain.outputs() if done.plain else done.outputs
            outputs += [output for output in told if output.id == submit.request.id]
        return outputs

    # ---- what it leaves behind ---------------------------------------------------------------------------------------

    def reading(self) -> Reading | None:
        return self._box.read()

    def await_reading(self, phase: str, done: bool) -> Reading:
        """What the black box says, once it says this; the engine is alive meanwhile."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while True:
            reading = self._box.read()
            if reading is not None and (reading.record.phase, reading.done) == (phase, done):
                return reading
            assert self.process.poll() is None, "the engine has ended"
            assert time.monotonic() < deadline, f"the engine is never in {phase}"
            time.sleep(0.005)

    def stacks(self) -> str:
        return os.pread(self._stacks_fd, 2**20, 0).decode()

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def exit_code(self) -> int:
        """Waits for the end of the process; negative for a signal's number."""
        return self.process.wait(PATIENCE_MS / 1000)

    def ask_for_stacks(self) -> None:
        self.process.send_signal(signal.SIGUSR1)
