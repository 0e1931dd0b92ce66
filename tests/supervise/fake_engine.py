"""An engine without a model, run as a process of its own. The model's path says how it behaves, a prompt's first token
what becomes of that request."""

from __future__ import annotations

import os
import signal
import sys
import threading

import msgspec
import zmq

from upright.messages import (
    Abort,
    EngineStats,
    FromEngine,
    Launch,
    Loading,
    Ready,
    Request,
    SequenceOutput,
    StartFailed,
    StepDone,
    Stop,
    Submit,
    ToEngine,
)

ANSWER, HOLD, DIE, ANSWER_AND_DIE, BABBLE = range(5)  # first tokens of prompts
STATS = EngineStats(running=0, waiting=0, blocks_used=0, blocks_cached=0, blocks_total=9, preemptions=0,
                    prefix_queried_tokens=0, prefix_hit_tokens=0, steps=1, prefill_tokens=0, decode_tokens=0,
                    images_encoded=0)  # fmt: skip
READY = Ready(device="cpu", device_name="none", dtype="float32", attention=[], memory=[], block_size=16, blocks=9,
              max_model_len=99, max_num_seqs=2, load_seconds=0.0, threads=1)  # fmt: skip


class FakeEngine:
    def __init__(self, launch: Launch) -> None:
        self.behaviour = launch.options.model_path
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(launch.address)

    def send(self, message: FromEngine) -> None:
        self.socket.send(msgspec.msgpack.encode(message))

    def run(self) -> int:
        self.send(Loading("importing", 0, 0))
        if self.behaviour == "crash":
            return 3
        if self.behaviour == "refuse":
            self.send(StartFailed("the weights are of the wrong colour", "paint them"))
            return 1
        print("a line of the engine's log", flush=True)
        self.send(READY)
        while True:
            message = msgspec.msgpack.decode(self.socket.recv(), type=ToEngine)
            match message:
                case Submit(request=request):
                    self.serve(request)
                case Abort(ids=ids):
                    print("aborted", *ids, flush=True)
                    self.send(StepDone([], STATS))
                case Stop() if self.behaviour != "deaf":
                    return 0

    def serve(self, request: Request) -> None:
        match request.prompt[0]:
            case 0:
                self.tokens(request, [1, 2])
                self.tokens(request, [3], "length")
            case 1:
                self.tokens(request, [1, 2])
            case 2:
                self.tokens(request, [1, 2])
                self.die()
            case 3:
                self.tokens(request, [1, 2, 3], "length")
                self.die()
            case 4:
                self.socket.send(b"\xc1 this is no message")

    def tokens(self, request: Request, tokens: list[int], finish: str | None = None) -> None:
        output = SequenceOutput(id=request.id, tokens=tokens, finish=finish)  # type: ignore[arg-type]
        self.send(StepDone([output], STATS))

    def die(self) -> None:
        self.socket.close()
        self.context.term()  # everything sent is on its way
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    launch = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Launch)
    threading.Thread(target=lambda: (os.read(launch.life_fd, 1), os._exit(0)), daemon=True).start()
    engine = FakeEngine(launch)
    code = engine.run()
    engine.socket.close()
    engine.context.term()
    return code


if __name__ == "__main__":
    sys.exit(main())
