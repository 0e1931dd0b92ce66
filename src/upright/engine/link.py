"""The engine's end of the socket to the front."""

from __future__ import annotations

import msgspec
import zmq

from upright.messages import FromEngine, ToEngine

LINGER_MS = 1000  # a last word should get out


class Link:
    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        self._socket.connect(address)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)

    def send(self, message: FromEngine) -> None:
        self._socket.send(self._encoder.encode(message))

    def receive(self, wait_ms: int | None) -> ToEngine | None:
        """The next message, waiting at most `wait_ms` for it (None: for ever); None if there is none."""
        if not self._socket.poll(wait_ms):
            return None
        return self._decoder.decode(self._socket.recv())

    def close(self) -> None:
        """Returns once everything sent is out, or after LINGER_MS."""
        self._socket.close()
        self._context.term()
