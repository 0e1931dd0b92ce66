"""Steps that compute prompts, beside decodes or not, as CUDA graphs: small ones cost the host more than the device.

A graph has a fixed number of rows, and a step takes the smallest that holds it. Which sequences there are, how long and
where, is read from tensors that are written before each replay; rows of nobody fill up. Embeddings, which may be an
image's, are put into their place before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from upright.engine.device_slots import DeviceSlots
from upright.engine.graph_pool import GraphPool
from upright.engine.host_buffers import HostBuffers
from upright.engine.prompts import Integers, Prompts
from upright.engine.sized_graphs import Pieces, SizedGraphs
from upright.engine.step import Chunk
from upright.kernels.attention.batch import KVCache, PagedBatch
from upright.kernels.attention.tiles import prompt_batch
from upright.kernels.transfer import sent
from upright.models.model import Model

STEP = 128  # rows between two sizes
LARGEST = 4096  # rows
LAUNCHING_FLOP = 4e12  # what a large GPU computes while the host launches a step piece by piece, in about 7 ms
_ROWS_A_SEQUENCE = 32  # on average, at least: a graph has room for the tiles of as many prompts
_SPLITS_FOR = 64  # decodes in a step with prompts, as a rule
_TILE = 5  # numbers that tell a tile


@dataclass(frozen=True)
class _Place:
    """What the graph of a size reads, on the device."""

    hidden: Tensor  # [size, hidden]
    ids: Tensor  # int32 [size]
    positions: Tensor  # int32 [3, size]
    batch: PagedBatch


def most_rows(model: Model) -> int:
    """Rows up to which a step is worth a graph: until the device is busy while the host launches."""
    decoder = model.decoder
    weights = sum(matrix.numel() for matrix in (*decoder.matrices(), *decoder.gates())) - decoder.head.numel()
    return max(STEP, min(LARGEST, int(LAUNCHING_FLOP / (2 * weights)) // STEP * STEP))


class PromptGraphs:
    """For a model whose attention is Triton's. `most`: rows; `sequences`: of a step.

    One thread calls it, on the stream. Without a pool, as on a CPU, steps take the same way, and nothing is captured.
    """

    def __init__(
        self, model: Model, cache: KVCache, slots: DeviceSlots, prompts: Prompts, sequences: int, most: int,
        pool: GraphPool | None,
    ) -> None:  # fmt: skip
        self._model = model
        self._cache = cache
        self._slots = slots
        self._prompts = prompts
        self._sequences = sequences
        self._most = most
        self._graphs = SizedGraphs("steps with prompts", pool, range(STEP, most + 1, STEP), self._prepare)
        self._places: dict[int, _Place] = {}
        longest = self._length(most)
        self._inputs = torch.zeros(longest, dtype=torch.int32, device=model.device)
        self._host = HostBuffers(longest, torch.int32, model.device)
        self._hidden = torch.zeros(most, model.config.decoder.hidden_size, dtype=model.dtype, device=model.device)

    def run(self, chunks: tuple[Chunk, ...], place_images: Callable[[Tensor], None]) -> Tensor | None:
        """Final hidden states [T or more, hidden] of the chunks' T tokens, to be read before the next step is launched.

        None for a step that no graph holds. `place_images` overwrites rows of the embeddings [T, hidden]. A size that
        is wanted for the first time is launched piece by piece, and captured for the next time.
        """
        rows = sum(chunk.length for chunk in chunks)
        size = _size_for(rows)
        if size > self._most or _count_tiles(chunks) > _most_tiles(size):
            return None
        place = self._fill(size, chunks, place_images)
        hidden = self._graphs.replay(size)
        if hidden is None:
            hidden = self._launch(place)
            self._graphs.capture(size, [lambda: self._launch(place)])
        return hidden

    def capture_next(self) -> bool:
        """Capture one more size; False when there is nothing left to capture."""
        return self._graphs.capture_next()

    def bytes_of_all(self) -> int:
        """What graphs of all sizes take of the device, by capturing some; for an engine that serves nobody."""
        return self._graphs.bytes_of_all()

    def _prepare(self, size: int) -> Pieces:
        place = self._fill(size, (), lambda hidden: None)
        self._launch(place)
        return (lambda: self._launch(place),)

    def _launch(self, place: _Place) -> Tensor:
        return self._model.decoder.forward(place.hidden, place.positions, self._cache, place.batch)

    def _length(self, size: int) -> int:
        """Numbers that tell a step: ids, three positions, a slot a row; tiles; decodes; contexts."""
        return 5 * size + _TILE * _most_tiles(size) + 2 * self._sequences + self._sequences + 1

    def _place(self, size: int) -> _Place:
        if size not in self._places:
            decoder, tiles, most = self._model.config.decoder, _most_tiles(size), self._sequences
            parts = torch.split(
                self._inputs[: self._length(size)], [size, 3 * size, size, _TILE * tiles, most, most, most + 1]
            )
            batch = prompt_batch(
                parts[2], self._slots.tables, parts[6], parts[4], parts[5], parts[3].view(tiles, _TILE), _SPLITS_FOR,
                decoder.heads, decoder.kv_heads, decoder.head_size, self._cache.block_size,
            )  # fmt: skip
            for other in self._places.values():  # steps come one after the other, so one workspace serves all
                batch.plans["mixed decodes"] = other.batch.plans["mixed decodes"]
            self._places[size] = _Place(self._hidden[:size], parts[0], parts[1].view(3, size), batch)
        return self._places[size]

    def _fill(self, size: int, chunks: tuple[Chunk, ...], place_images: Callable[[Tensor], None]) -> _Place:
        place, device = self._place(size), self._model.device
        inputs = self._prompts.inputs(chunks)
        rows = len(inputs.ids)
        host = self._host.next()[: self._length(size)]
        self._tell(host.numpy(), size, chunks, inputs.ids, inputs.positions)
        self._inputs[: len(host)].copy_(host, non_blocking=True)
        if inputs.unknown:
            where, slots = sent(torch.tensor(inputs.unknown, dtype=torch.int64).t().contiguous(), device)
            place.ids[where] = self._slots.drawn[slots].to(torch.int32)
        hidden = place.hidden[:rows]
        if rows:
            hidden.copy_(self._model.decoder.embed(place.ids[:rows]))
            place_images(hidden)
        place.hidden[rows:].zero_()
        return place

    def _tell(self, values: Integers, size: int, chunks: tuple[Chunk, ...], ids: Integers, positions: Integers) -> None:
        """Write a step's numbers in the order of `_place`."""
        from upright.kernels.triton.paged_prefill import tiles

        most, rows, block = self._sequences, len(ids), self._cache.block_size
        parts = np.split(values, np.cumsum([size, 3 * size, size, _TILE * _most_tiles(size), most, most]))
        values[:] = 0
        parts[0][:rows] = ids
        parts[1].reshape(3, size)[:, :rows] = positions
        parts[2][rows:] = -1
        row = decodes = 0
        for chunk in chunks:
            slot, start, stop = chunk.sequence.slot, chunk.start, chunk.start + chunk.length
            blocks = np.asarray(chunk.sequence.blocks[start // block : -(-stop // block)], dtype=np.int32)
            places = np.arange(start, stop, dtype=np.int32)
            parts[2][row : row + chunk.length] = blocks[places // block - start // block] * block + places % block
            if chunk.length == 1:
                parts[4][decodes], parts[5][decodes], parts[6][slot] = row, slot, stop
                decodes += 1
            row += chunk.length
        parts[4][decodes:], parts[5][decodes:] = size - 1, self._slots.dummy
        found = tiles(
            [chunk.length for chunk in chunks],
            [chunk.start + chunk.length for chunk in chunks],
            [index for index, chunk in enumerate(chunks) if chunk.length > 1],
        ).numpy()
        if found.size:
            found[:, 0] = np.array([chunk.sequence.slot for chunk in chunks], dtype=np.int32)[found[:, 0]]
            parts[3][: found.size] = found.reshape(-1)


def _size_for(rows: int) -> int:
    """Rows of the graph for a step: at least one of them is nobody's."""
    return rows // STEP * STEP + STEP


def _most_tiles(size: int) -> int:
    """The full ones, and one for the end of each prompt."""
    from upright.kernels.triton.paged_prefill import ROWS

    return size // ROWS + size // _ROWS_A_SEQUENCE


def _count_tiles(chunks: tuple[Chunk, ...]) -> int:
    from upright.kernels.triton.paged_prefill import ROWS

    return sum(-(-chunk.length // ROWS) for chunk in chunks if chunk.length > 1)
