"""Batches from processes of their own, through memory that they share with the one that trains.

Batch k comes from process k modulo their number, and they are handed out in order: what is trained on depends on the
seed alone, and not on who was quicker.
"""

from __future__ import annotations

import mmap
import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from training.batches import Arrays
from upright.engine.lifeline import die_with_parent

_AHEAD = 3  # batches that a process may have ready
_ALIGNED = 64  # bytes

Header = list[tuple[str, str, tuple[int, ...], int]]  # of each array: name, dtype, shape, offset


class Feeder:
    """Forks at once, so it has to be made before this process touches a GPU.

    `make(k)` gives batch k; `size`: bytes of the largest.
    """

    def __init__(self, make: Callable[[int], Arrays], processes: int, size: int, first: int = 0) -> None:
        context = multiprocessing.get_context("fork")
        self._next = first
        self._processes = []
        self._memory = [mmap.mmap(-1, _AHEAD * size) for _ in range(processes)]
        self._pipes: list[Connection] = []
        self._size = size
        for index in range(processes):
            ours, theirs = context.Pipe()
            begin = first + (index - first) % processes
            arguments = (make, begin, processes, self._memory[index], size, theirs)
            process = context.Process(target=_feed, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
            for slot in range(_AHEAD):
                ours.send(slot)

    def take(self, use: Callable[[Arrays], Any]) -> Any:
        """What `use` makes of the next batch, whose arrays are gone afterwards. Raises: RuntimeError, with what went
        wrong in the process that makes it.
        """
        which = self._next % len(self._pipes)
        self._next += 1
        try:
            told = self._pipes[which].recv()
        except EOFError as error:
            raise RuntimeError(f"process {which} that makes batches has ended") from error
        if isinstance(told, str):
            raise RuntimeError(told)
        slot, header = told
        memory = memoryview(self._memory[which])[slot * self._size : (slot + 1) * self._size]
        arrays = {name: np.ndarray(shape, dtype, memory, offset) for name, dtype, shape, offset in header}
        found = use(arrays)
        self._pipes[which].send(slot)
        return found

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


def _feed(make: Callable[[int], Arrays], index: int, step: int, memory: mmap.mmap, size: int, pipe: Connection) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C, which the one that trains answers
    try:
        while True:
            arrays = make(index)
            slot = pipe.recv()
            pipe.send((slot, _write(arrays, memory, slot * size, size)))
            index += step
    except EOFError:
        pass  # nobody wants more
    except BaseException:
        pipe.send(traceback.format_exc())
        raise


def _write(arrays: Arrays, memory: mmap.mmap, begin: int, size: int) -> Header:
    header: Header = []
    offset = 0
    for name, array in arrays.items():
        if offset + array.nbytes > size:
            raise ValueError(f"a batch has more than the {size} bytes that there are for it")
        np.ndarray(array.shape, array.dtype, memory, begin + offset)[...] = array
        header.append((name, array.dtype.str, array.shape, offset))
        offset += -(-array.nbytes // _ALIGNED) * _ALIGNED
    return header
