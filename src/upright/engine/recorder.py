"""What the engine does, as it goes into the black box."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from upright.engine.black_box import NOBODY, Aboard, BlackBox, Phase, Record, StepRecord, encode_aboard

if TYPE_CHECKING:
    from upright.engine.step import Step


class Recorder:
    """Writes records. Without a black box, as in tests and in the trial engine, it does nothing."""

    def __init__(self, black_box: BlackBox | None = None) -> None:
        self._box = black_box
        self._step = 0  # number of the last step
        self._record: StepRecord | None = None  # of the last step
        self._aboard = NOBODY  # of the last step, encoded
        self._further = 0  # steady steps since `_aboard` was made: each context has grown by as much
        self._lasting = False  # `_aboard` is good for steady steps that follow: it says nothing of images
        self._resting: tuple[Phase, tuple[str, ...]] | None = None  # what the current record says, unless it is a step

    def begin_step(
        self, step: Step, expected: float, decoding: tuple[str, ...], decoding_since: float, before: Step | None = None
    ) -> None:
        """`step` is about to be launched, while the images of `decoding` are decoded.

        `before` is the step that was begun last, where the device has not ended it yet. `expected` is the time of all
        that the device has to do then, in seconds.
        """
        if self._box is None:
            return
        self._step += 1
        self._resting = None
        earlier, earlier_further = (NOBODY, 0) if before is None else (self._aboard, self._further)
        if step.steady and self._lasting and not step.encodings:
            self._further += 1
        else:
            self._aboard, self._further, self._lasting = encode_aboard(_aboard(step)), 0, not step.encodings
        self._record = StepRecord(
            "step", self._step, time.monotonic(), expected, self._aboard, decoding, decoding_since, self._further,
            earlier, earlier_further,
        )  # fmt: skip
        self._box.begin(self._record)

    def go_on(self, decoding: tuple[str, ...], decoding_since: float) -> None:
        """The step that was begun last is still on the device; the images of `decoding` are decoded beside it now."""
        if self._box is None or self._record is None or self._record.decoding == decoding:
            return
        self._record = msgspec.structs.replace(self._record, decoding=decoding, decoding_since=decoding_since)
        self._box.begin(self._record)
        self._box.beat()

    def end_step(self) -> None:
        if self._box is not None:
            self._box.done()

    def rest(self, phase: Phase, decoding: tuple[str, ...] = (), decoding_since: float = 0.0) -> None:
        """The engine is in a phase without steps. Said again, it is a sign of life."""
        if self._box is None:
            return
        if self._resting == (phase, decoding):
            self._box.beat()
            return
        self._resting = (phase, decoding)
        self._box.begin(Record(phase, self._step, time.monotonic(), 0.0, (), decoding, decoding_since))

    def beat(self) -> None:
        if self._box is not None:
            self._box.beat()


def _aboard(step: Step) -> list[Aboard]:
    aboard = [Aboard(chunk.sequence.id, chunk.length, chunk.start + chunk.length, 0) for chunk in step.chunks]
    if step.encodings:
        images = Counter(encoding.sequence.id for encoding in step.encodings)
        aboard = [Aboard(one.id, one.tokens, one.context, images.pop(one.id, 0)) for one in aboard]
        # an image is also encoded for a sequence whose chunk ends just before it
        aboard += [Aboard(name, 0, 0, count) for name, count in images.items()]
    return aboard
