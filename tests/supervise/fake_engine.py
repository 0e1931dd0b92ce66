"""An engine without a model, run as a process of its own. The model's path says how it behaves, a prompt's first token
what becomes of that request. Its answers are as long as `max_tokens` says and count upwards from 1."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec
import zmq

from upright.engine.black_box import Aboard, BlackBox, Record
from upright.messages import (
    Abort,
    Crashed,
    EngineStats,
    FromEngine,
    Launch,
    Load,
    Loading,
    Ready,
    Request,
    SequenceOutput,
    StartFailed,
    StepDone,
    Stop,
    Submit,
    ToEngine,
    Waiting,
)

# First tokens of prompts: answer; never go on; die of SIGKILL, SIGSEGV or an exception, but only where it is no
# replay; answer, then die; send what is no message; stop; spin; die always; skip a token; close the socket; a token
# now and then
ANSWER, HOLD, KILL, SEGV, RAISE, ANSWER_AND_DIE, BABBLE, STOP, SPIN, POISON, SKIP, HANG_UP, DRIP = range(13)
ONCE = (KILL, SEGV, RAISE, BABBLE, STOP, SPIN, HANG_UP)
BEGUN = 2  # tokens that are sent before something happens
STATS = EngineStats(running=0, waiting=0, blocks_used=0, blocks_cached=0, blocks_total=9, preemptions=0,
                    prefix_queried_tokens=0, prefix_hit_tokens=0, steps=1, prefill_tokens=0, decode_tokens=0,
                    images_encoded=0)  # fmt: skip
READY = Ready(device="cpu", device_name="none", dtype="float32", attention=[], memory=[], block_size=16, blocks=9,
              max_model_len=99, max_num_seqs=2, load_seconds=0.0, threads=1)  # fmt: skip


class FakeEngine:
    def __init__(self, launch: Launch) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(launch.address)
        self.box = BlackBox(launch.black_box_fd)
        self.step = 0
        self.dripping: dict[str, Request] = {}

    def send(self, message: FromEngine) -> None:
        self.socket.send(msgspec.msgpack.encode(message))

    def receive(self) -> ToEngine:
        return msgspec.msgpack.decode(self.socket.recv(), type=ToEngine)

    def run(self) -> int:
        self.send(Loading("importing", 0, 0))
        self.send(Waiting())
        load = self.receive()
        if not isinstance(load, Load):
            return 0
        behaviour = load.options.model_path
        self.record("loading")
        self.send(Loading("weights", 1, 2, "B"))
        if (code := self.misbehave(behaviour, load)) is not None:
            return code
        print("a line of the engine's log", flush=True)
        self.record("idle")
        self.send(READY)
        while True:
            if not self.socket.poll(20):
                self.box.beat()
                for request in self.dripping.values():
                    self.tokens(request, 1)
                continue
            match self.receive():
                case Submit(request=request):
                    self.serve(request)
                case Abort(ids=ids):
                    print("aborted", *ids, flush=True)
                    for name in ids:
                        self.dripping.pop(name, None)
                    self.send(StepDone([], STATS))
                case Stop() if behaviour != "deaf":
                    return 0

    def misbehave(self, behaviour: str, load: Load) -> int | None:
        """Deaths at start-up. `small FILE`: only small steps will do. `twice FILE`: the first two starts fail.
        `waver FILE`: the first start fails, the second is refused."""
        name, _, file = behaviour.partition(" ")
        match name:
            case "crash":
                return 3
            case "refuse":
                return self.refuse()
            case "small" if load.options.max_num_seqs > 1:
                self.send(StartFailed("cannot allocate 4 GiB", "use less", memory=True))
                return 1
            case "twice":
                return 4 if count_start(Path(file)) <= 2 else None
            case "waver":
                return 4 if count_start(Path(file)) == 1 else self.refuse()
        return None

    def refuse(self) -> int:
        self.send(StartFailed("the weights are of the wrong colour", "paint them"))
        return 1

    def serve(self, request: Request) -> None:
        kind, replayed = request.prompt[0], request.attempt > 0
        if kind == SKIP and not replayed:
            self.tokens(request, 1, gap=1)
            return
        harmless = replayed and kind in ONCE
        if kind == DRIP:
            self.dripping[request.id] = request
            return
        if kind in (ANSWER, ANSWER_AND_DIE, SKIP) or harmless:
            self.tokens(request, request.params.max_tokens - len(request.output))
        elif not replayed:
            self.tokens(request, BEGUN)
        self.record("step", (Aboard(request.id, 1, len(request.prompt), 0),))
        match kind:
            case 4 if not replayed:
                self.send(Crashed("ValueError: no", "Traceback: in a step", memory=False))
                self.leave()
                sys.exit(1)
            case 6 if not replayed:
                self.socket.send(b"\xc1 this is no message")
            case 11 if not replayed:
                self.leave()
                time.sleep(3600)
            case 8 if not replayed:
                while True:
                    pass
            case 2 | 3 | 5 | 7 | 9 if kind in (ANSWER_AND_DIE, POISON) or not replayed:
                number = {2: signal.SIGKILL, 5: signal.SIGKILL, 7: signal.SIGSTOP}.get(kind, signal.SIGSEGV)
                if number != signal.SIGSTOP:
                    self.leave()
                os.kill(os.getpid(), number)
        self.box.done()

    def tokens(self, request: Request, count: int, gap: int = 0) -> None:
        at = len(request.output) + gap
        tokens = list(range(at + 1, at + count + 1))
        finish = "length" if at + count >= request.params.max_tokens else None
        update = SequenceOutput(id=request.id, tokens=tokens, at=at, attempt=request.attempt, finish=finish)  # type: ignore[arg-type]
        self.send(StepDone([update], STATS))
        request.output.extend(tokens)

    def record(self, phase: str, aboard: tuple[Aboard, ...] = ()) -> None:
        self.step += phase == "step"
        self.box.begin(Record(phase, self.step, time.monotonic(), 0.01, aboard))  # type: ignore[arg-type]

    def leave(self) -> None:
        """Everything that was sent is on its way."""
        self.socket.close()
        self.context.term()


def count_start(file: Path) -> int:
    """Which start this is, from 1."""
    starts = 1 + (len(file.read_text()) if file.exists() else 0)
    file.write_text("x" * starts)
    return starts


def main() -> int:
    launch = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Launch)
    threading.Thread(target=lambda: (os.read(launch.life_fd, 1), os._exit(0)), daemon=True).start()
    engine = FakeEngine(launch)
    code = engine.run()
    engine.leave()
    return code


if __name__ == "__main__":
    sys.exit(main())
