"""An engine that computes nothing, for front_cost.py: it speaks the real protocol over the real socket.

Every running request gets one token a step, all of a step in one message, and a step lasts `PRETEND_STEP` seconds
(environment; default 0.002) from the start of one to the start of the next. At most `PRETEND_ROWS` requests run at a
time (default 256). Tokens are common words' ids of a real vocabulary, the same for each request.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque

import msgspec
import zmq

from upright.engine.black_box import BlackBox, Record
from upright.messages import (
    Abort,
    EngineStats,
    FromEngine,
    Launch,
    Load,
    PlainTokens,
    Ready,
    Request,
    SequenceOutput,
    StepDone,
    Stop,
    Submit,
    ToEngine,
    Waiting,
)

STEP = float(os.environ.get("PRETEND_STEP", "0.002"))  # seconds
ROWS = int(os.environ.get("PRETEND_ROWS", "256"))
BEAT_SECONDS = 0.2
FIRST_TOKEN, TOKENS, STRIDE = 300, 20000, 7919  # varied pieces of text, none of them special


class Row:
    """One request that runs."""

    def __init__(self, request: Request) -> None:
        self.id = request.id
        self.attempt = request.attempt
        self.done = len(request.output)  # tokens
        self.wanted = request.params.max_tokens

    def step(self) -> int:
        """Its next token."""
        token = FIRST_TOKEN + (self.done * STRIDE) % TOKENS
        self.done += 1
        return token

    @property
    def finished(self) -> bool:
        return self.done >= self.wanted


class PretendEngine:
    def __init__(self, launch: Launch) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(launch.address)
        self.box = BlackBox(launch.black_box_fd)
        self.running: dict[str, Row] = {}
        self.waiting: deque[Row] = deque()
        self.steps = self.tokens = 0
        self.encoder = msgspec.msgpack.Encoder()
        self.decoder: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)

    def send(self, message: FromEngine) -> None:
        self.socket.send(self.encoder.encode(message))

    def run(self) -> None:
        self.send(Waiting())
        load = self.decoder.decode(self.socket.recv())
        if not isinstance(load, Load):
            return
        options = load.options
        self.box.begin(Record("idle", 0, time.monotonic(), 0.0))
        self.send(
            Ready(
                device="cpu", device_name="none", dtype=options.dtype, attention=[], memory=[], block_size=16,
                blocks=65536, max_model_len=options.max_model_len, max_num_seqs=ROWS, load_seconds=0.0, threads=1,
            )
        )  # fmt: skip
        due = time.perf_counter()
        while True:
            idle = not self.running and not self.waiting
            while self.socket.poll(int(1000 * BEAT_SECONDS) if idle else 0):
                match self.decoder.decode(self.socket.recv()):
                    case Submit(request=request):
                        self.waiting.append(Row(request))
                    case Abort(ids=ids):
                        for name in ids:
                            self.running.pop(name, None)
                        self.waiting = deque(row for row in self.waiting if row.id not in ids)
                    case Stop():
                        return
                idle = False
            self.box.beat()
            if not self.running and not self.waiting:
                continue
            due = max(due, time.perf_counter() - STEP) + STEP  # it may fall behind, and does not hurry afterwards
            time.sleep(max(0.0, due - time.perf_counter()))
            self.step()

    def step(self) -> None:
        while self.waiting and len(self.running) < ROWS:
            row = self.waiting.popleft()
            self.running[row.id] = row
        plain = PlainTokens([], [], [], [])
        outputs = []
        for row in list(self.running.values()):
            at, token = row.done, row.step()
            if at and not row.finished:
                plain.ids.append(row.id)
                plain.at.append(at)
                plain.attempts.append(row.attempt)
                plain.tokens.append(token)
                continue
            finish = "length" if row.finished else None
            outputs.append(
                SequenceOutput(
                    id=row.id, tokens=[token], at=at, attempt=row.attempt, finish=finish,  # type: ignore[arg-type]
                    cached_tokens=None if at else 0,
                )
            )  # fmt: skip
            if finish is not None:
                del self.running[row.id]
        self.steps += 1
        self.tokens += len(outputs) + len(plain.ids)
        self.send(StepDone(outputs, self.stats(), plain if plain.ids else None))

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self.running), waiting=len(self.waiting), blocks_used=0, blocks_cached=0, blocks_total=65536,
            preemptions=0, prefix_queried_tokens=0, prefix_hit_tokens=0, steps=self.steps, prefill_tokens=0,
            decode_tokens=self.tokens, images_encoded=0,
        )  # fmt: skip


def main() -> None:
    launch = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Launch)
    threading.Thread(target=lambda: (os.read(launch.life_fd, 1), os._exit(0)), daemon=True).start()
    engine = PretendEngine(launch)
    engine.run()
    engine.context.destroy(linger=1000)


if __name__ == "__main__":
    main()
