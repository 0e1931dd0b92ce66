"""The black box: what the engine was doing, in memory that outlives it.

A file of fixed layout without a name, mapped by the engine, which writes, and by the front, which reads. The engine
writes a record before each step and marks it done after it; both are plain stores, so nothing of them is lost when the
process is killed between two instructions. Two slots take turns: a half-written record is never the current one.

    offset  size  content
    0       8     sequence number of the current record; its parity names the slot
    8       8     sequence number of the newest record whose step is done
    16      8     beat: CLOCK_MONOTONIC in seconds, float64, of the newest sign of life
    24      8     unused
    32      …     slot 0: length (8 bytes), then the record as msgpack; slot 1 follows after SLOT bytes
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from typing import Literal

import msgspec

SLOT = 2**18  # bytes; two steps of 1,024 sequences take about half of it
HEADER = 32
SIZE = HEADER + 2 * SLOT
MOST_ABOARD = SLOT // 128  # an id has about 45 bytes; what goes beyond is left out
NOBODY = msgspec.Raw(msgspec.msgpack.encode(()))

_U64 = struct.Struct("<Q")
_F64 = struct.Struct("<d")

Phase = Literal["loading", "idle", "decoding", "step"]


class Aboard(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One sequence's part of a step."""

    id: str
    tokens: int  # computed in this step
    context: int  # tokens in the cache after it
    images: int  # encoded in this step


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the engine is doing. Times are CLOCK_MONOTONIC, in seconds."""

    phase: Phase
    step: int  # number of the step, or of the last one
    started: float
    expected: float  # seconds that the step should take, from the work in it and the slowest pace measured so far
    aboard: tuple[Aboard, ...] = ()
    decoding: tuple[str, ...] = ()  # requests whose images are being decoded, in threads, beside the step
    decoding_since: float = 0.0  # when the oldest of them began


class StepRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A step's record as the engine writes it, whose sequences may have been encoded for an earlier one.

    A reader gets it as a `Record`.
    """

    phase: Phase
    step: int
    started: float
    expected: float  # of this step and of the one before it, if that is on the device too
    aboard: msgspec.Raw
    decoding: tuple[str, ...]
    decoding_since: float
    further: int  # what to add to the contexts of `aboard`
    earlier: msgspec.Raw  # aboard of the step before, where the device has not ended it
    earlier_further: int


class _Written(Record, frozen=True, array_like=True, gc=False):
    """Both forms, as they are read."""

    further: int = 0
    earlier: tuple[Aboard, ...] = ()
    earlier_further: int = 0

    def merged(self) -> Record:
        aboard = {one.id: _moved(one, self.further) for one in self.aboard}
        for one in self.earlier:
            later = aboard.get(one.id)
            if later is None:
                aboard[one.id] = _moved(one, self.earlier_further)
            else:
                both = one.tokens + later.tokens, later.context, one.images + later.images
                aboard[one.id] = Aboard(one.id, *both)
        return Record(
            self.phase, self.step, self.started, self.expected, tuple(aboard.values()), self.decoding,
            self.decoding_since,
        )  # fmt: skip


class Reading(msgspec.Struct, frozen=True):
    """The newest record, and what became of it."""

    record: Record
    done: bool  # the step is over; what the engine does now is between two steps
    beat: float  # newest sign of life


class BlackBox:
    """Both ends. One process writes and one reads; a reader never waits and never sees half a record.

    NOTE: with two steps on the device a record names the requests of both: an error of the first may only show when the
    second has been launched, so that either may be to blame.
    """

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SIZE)
        self._sequence = _U64.unpack_from(self._map, 0)[0]
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Written)

    # ---- the engine --------------------------------------------------------------------------------------------------

    def begin(self, record: Record | StepRecord) -> None:
        """Make `record` the current one."""
        content = self._encoder.encode(record)
        if len(content) > SLOT - 8:
            content = self._encoder.encode(_shortened(self._decoder.decode(content)))
        sequence = self._sequence + 1
        start = HEADER + (sequence & 1) * SLOT
        _U64.pack_into(self._map, start, len(content))
        self._map[start + 8 : start + 8 + len(content)] = content
        _F64.pack_into(self._map, 16, record.started)
        _U64.pack_into(self._map, 0, sequence)
        self._sequence = sequence

    def done(self) -> None:
        """The current record's step is over."""
        _U64.pack_into(self._map, 8, self._sequence)
        self.beat()

    def beat(self) -> None:
        _F64.pack_into(self._map, 16, time.monotonic())

    # ---- the front ---------------------------------------------------------------------------------------------------

    def read(self) -> Reading | None:
        """The current record; None while there is none."""
        while True:
            sequence = _U64.unpack_from(self._map, 0)[0]
            if sequence == 0:
                return None
            start = HEADER + (sequence & 1) * SLOT
            length = _U64.unpack_from(self._map, start)[0]
            content = self._map[start + 8 : start + 8 + min(length, SLOT - 8)]
            done = _U64.unpack_from(self._map, 8)[0] >= sequence
            beat = _F64.unpack_from(self._map, 16)[0]
            if _U64.unpack_from(self._map, 0)[0] == sequence:  # else the writer has come round to this slot meanwhile
                return Reading(self._decoder.decode(content).merged(), done, beat)

    def close(self) -> None:
        self._map.close()


def _moved(one: Aboard, further: int) -> Aboard:
    return Aboard(one.id, one.tokens, one.context + further, one.images)


def encode_aboard(aboard: list[Aboard]) -> msgspec.Raw:
    """For a `StepRecord`."""
    return msgspec.Raw(msgspec.msgpack.encode(aboard))


def _shortened(record: _Written) -> _Written:
    most = MOST_ABOARD // 2
    return msgspec.structs.replace(record, aboard=record.aboard[:most], earlier=record.earlier[:most])


def nameless_file(size: int = 0) -> int:
    """The descriptor of a file in memory that has no name, so that nothing is left of it when its holders are gone."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("upright")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    if size:
        os.ftruncate(fd, size)
    return fd
