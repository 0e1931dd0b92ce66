"""SIGINT and SIGTERM while a command is at work: what is finished is still told."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """One of the two has come. Like its base it is no Exception, so that nothing on its way takes it for a failure."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"stopped by {number.name}")
        self.exit_code = 128 + number  # as a shell gives it for a process that a signal ended


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises: Interrupted, in the main thread, if one of the signals comes.

    Once it is out, both are ignored for good: `timeout` sends its signal twice, and what is finished is told at once.
    """
    received: list[signal.Signals] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        raise Interrupted(received[0])

    before = {number: signal.signal(number, receive) for number in NUMBERS}
    try:
        yield
    except Exception as error:
        if not received:
            raise
        raise Interrupted(received[0]) from error  # raised in the midst of an import, it may come out as something else
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if received else handler)
