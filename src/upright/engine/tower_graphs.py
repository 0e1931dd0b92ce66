"""Passes through the vision tower as CUDA graphs: a few launches in place of hundreds, whatever images there are.

A graph has a fixed number of patches, and a pass takes the smallest that holds it. Everything else about the images,
their positions and their runs, is read from tensors that are written before each replay; patches of nobody fill up.

A pass is cut into pieces of some layers, because a step that runs beside it comes forward slowly: each of its kernels
waits until some of the tower's make room. So steps of decodes have a piece beside them, and not the whole pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from upright.engine.graph_pool import GraphPool
from upright.engine.sized_graphs import Pieces, SizedGraphs
from upright.kernels.attention.runs import Runs
from upright.models.vision import TowerLayout, TowerPass, VisionTower
from upright.models.vision_layout import Grid, Layout, layout_of

LEAST = 128  # patches
_PATCHES_AN_IMAGE, _PATCHES_A_WINDOW = 128, 32  # on average, at least: a graph has room for the tiles of as many


@dataclass(frozen=True)
class _Place:
    """What the graph of a size reads, on the device."""

    patches: Tensor  # [size, values per patch]
    layout: TowerLayout
    tiles: tuple[Tensor, ...]  # int32 [tiles, 3]: the images', and the windows' where a tower has some


@dataclass(frozen=True)
class _Told:
    """The same of a pass, on the host and no longer than it is."""

    layout: Layout
    tiles: tuple[Tensor, ...]


_NOBODY = Layout(torch.zeros(2, 0, dtype=torch.int32), (), (), None)


def size_for(patches: int) -> int:
    """Patches of the graph for a pass: up to a thirty-second more, beyond the least."""
    step = max(LEAST, (1 << max(0, (patches - 1).bit_length() - 1)) // 32)
    return -(-patches // step) * step


def _sizes(most: int) -> Iterator[int]:
    size = LEAST
    while size <= most:
        yield size
        size = size_for(size + 1)


class TowerGraphs:
    """For passes of at most `most` patches, in pieces of `layers` layers, whose packed attention is Triton's.

    One thread calls it, on the pool's stream. Without a pool, as on a CPU, passes take the same way, and nothing is
    captured.
    """

    def __init__(self, tower: VisionTower, pool: GraphPool | None, most: int, layers: int) -> None:
        self._tower = tower
        self._layers = layers
        self._most = size_for(most)
        self._graphs = SizedGraphs("the vision tower", pool, tuple(_sizes(self._most)), self._prepare)
        self._places: dict[int, _Place] = {}
        self._whole: _Place | None = None  # the place of the largest: all others are its beginnings

    def begin(self, patches: Tensor, grids: Sequence[Grid]) -> GraphedPass | None:
        """A pass of packed images of `grids`, `patches` [patches, values per patch]; None for what no graph holds.

        It has to be done, or given up, before another is carried on.
        """
        size = size_for(len(patches))
        if size > self._most:
            return None
        told = self._tell(layout_of(tuple(grids), self._tower.config))
        room = _most_tiles(size)
        if any(len(tiles) > most for tiles, most in zip(told.tiles, room, strict=False)):
            return None
        return GraphedPass(self._pieces(size, patches, told), self._layers, self._tower.config.depth)

    def _pieces(self, size: int, patches: Tensor, told: _Told) -> Iterator[Tensor]:
        """Launch a piece with each value that is asked for; the last are the features [tokens, output_size]. Nothing is
        waited for.

        A size that is wanted for the first time is launched kernel by kernel, and captured for the next time.
        """
        launches = self._launches(self._fill(size, patches, told))
        captured = size in self._graphs
        for piece, launch in enumerate(launches):
            left = self._graphs.replay(size, piece) if captured else launch()
            assert left is not None
            if piece < len(launches) - 1:
                yield left
            else:
                features = left[: len(patches) // self._tower.config.merge_size**2].clone()
                if not captured:
                    self._graphs.capture(size, launches)
                yield features

    def capture_next(self) -> bool:
        """Capture one more size; False when there is nothing left to capture."""
        return self._graphs.capture_next()

    def bytes_of_all(self) -> int:
        """What graphs of all sizes take of the device, by capturing some; for an engine that serves nobody."""
        return self._graphs.bytes_of_all()

    def _prepare(self, size: int) -> Pieces:
        launches = self._launches(self._fill(size, self._place(size).patches[:0], self._tell(_NOBODY)))
        for launch in launches:
            launch()
        return launches

    def _tell(self, layout: Layout) -> _Told:
        from upright.kernels.triton.packed_attention import tiles_of

        runs = (layout.images,) if self._tower.config.window_size is None else (layout.images, layout.windows)
        return _Told(layout, tuple(map(tiles_of, runs)))

    def _fill(self, size: int, patches: Tensor, told: _Told) -> _Place:
        """Write a pass to its place, and nothing behind it."""
        place, layout = self._place(size), told.layout
        place.patches[: len(patches)].copy_(patches)
        place.patches[len(patches) :].zero_()
        _padded(layout.positions, place.layout.positions)
        for tiles, there in zip(told.tiles, place.tiles, strict=True):
            _padded(tiles, there)
        if place.layout.order is not None:
            order = torch.arange(len(place.layout.order))  # what is nobody's stays where it is
            if layout.order is not None:
                order[: len(layout.order)] = layout.order
            _send(order, place.layout.order)
        return place

    def _launches(self, place: _Place) -> Pieces:
        """The first begins the pass anew; what a piece leaves for the next is kept until the last one is dropped."""
        made: TowerPass | None = None

        def launch(first: bool) -> Tensor:
            nonlocal made
            if first or made is None:
                made = TowerPass(self._tower, place.patches, place.layout)
            made.advance(self._layers)
            return made.features if made.done else made.hidden

        return [partial(launch, layer == 0) for layer in range(0, self._tower.config.depth, self._layers)]

    def _place(self, size: int) -> _Place:
        if self._whole is None:
            self._whole = _allocate(self._tower, self._most)
        if size not in self._places:
            self._places[size] = _beginning(self._tower, self._whole, size)
        return self._places[size]


class GraphedPass:
    """A pass that is launched in pieces of `layers` layers, the last of fewer. It has what `TowerPass` has."""

    def __init__(self, pieces: Iterator[Tensor], layers: int, depth: int) -> None:
        self._pieces = pieces
        self._layers = layers
        self._depth = depth
        self._features: Tensor | None = None
        self.layer = 0  # the next one to be launched

    @property
    def done(self) -> bool:
        return self.layer == self._depth

    def advance(self, layers: int) -> None:
        """Carry on by `layers` layers, rounded up to whole pieces."""
        for _ in range(0, min(layers, self._depth - self.layer), self._layers):
            self._features = next(self._pieces)
            self.layer = min(self.layer + self._layers, self._depth)

    @property
    def features(self) -> Tensor:
        """Only once the pass is done."""
        assert self._features is not None and self.done
        return self._features


def _most_tiles(size: int) -> tuple[int, int]:
    """Tiles of images and of windows that a size has room for: the full ones, one for the end of each run, and some."""
    from upright.kernels.triton.packed_attention import ROWS

    images, windows = (size // ROWS + size // each + 8 for each in (_PATCHES_AN_IMAGE, _PATCHES_A_WINDOW))
    return images, windows


def _allocate(tower: VisionTower, size: int) -> _Place:
    config, device = tower.config, tower.device
    values = config.in_channels * config.temporal_patch_size * config.patch_size**2
    images, windows = (torch.zeros(most, 3, dtype=torch.int32, device=device) for most in _most_tiles(size))
    order = None
    if config.window_size is not None:
        order = torch.zeros(size // config.merge_size**2, dtype=torch.int64, device=device)
    positions = torch.zeros(2, size, dtype=torch.int32, device=device)
    patches = torch.zeros(size, values, dtype=tower.dtype, device=device)
    tiles = (images,) if order is None else (images, windows)
    return _Place(patches, TowerLayout(positions, Runs(()), Runs(()), order), tiles)


def _beginning(tower: VisionTower, whole: _Place, size: int) -> _Place:
    from upright.kernels.triton.packed_attention import ROWS, tiles_plan

    layout = whole.layout
    order = None if layout.order is None else layout.order[: size // tower.config.merge_size**2]
    positions = layout.positions.flatten()[: 2 * size].view(2, size)
    tiles = tuple(part[:most] for part, most in zip(whole.tiles, _most_tiles(size), strict=False))
    images, windows = (Runs((), {tiles_plan(ROWS): part}) for part in (tiles[0], tiles[-1]))
    return _Place(whole.patches[:size], TowerLayout(positions, images, windows, order), tiles)


def _padded(values: Tensor, there: Tensor) -> None:
    """Write `values` to the beginning of `there`, whose rest becomes 0."""
    whole = torch.zeros(there.shape, dtype=there.dtype)
    whole[tuple(slice(size) for size in values.shape)] = values
    _send(whole, there)


def _send(values: Tensor, there: Tensor) -> None:
    pinned = there.device.type == "cuda"
    there.copy_(values.pin_memory() if pinned else values, non_blocking=pinned)
