"""Passes through the vision tower as CUDA graphs: one launch in place of hundreds, whatever images are packed together.

A graph has a fixed number of patches, and a pass takes the smallest that holds it. Everything else about the images,
their positions and their runs, is read from tensors that are written before each replay; patches of nobody fill up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upright.engine.graph_pool import GraphPool
from upright.engine.sized_graphs import SizedGraphs
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
    """For passes of at most `most` patches, whose packed attention is Triton's.

    One thread calls it, on the pool's stream. Without a pool, as on a CPU, passes take the same way, and nothing is
    captured.
    """

    def __init__(self, tower: VisionTower, pool: GraphPool | None, most: int) -> None:
        self._tower = tower
        self._most = size_for(most)
        self._graphs = SizedGraphs("the vision tower", pool, tuple(_sizes(self._most)), self._prepare)
        self._places: dict[int, _Place] = {}
        self._whole: _Place | None = None  # the place of the largest: all others are its beginnings

    def begin(self, patches: Tensor, grids: Sequence[Grid]) -> WholePass | None:
        """A pass of packed images of `grids`, `patches` [patches, values per patch]; None for what no graph holds."""
        size = size_for(len(patches))
        if size > self._most:
            return None
        told = self._tell(layout_of(tuple(grids), self._tower.config))
        room = _most_tiles(size)
        if any(len(tiles) > most for tiles, most in zip(told.tiles, room, strict=False)):
            return None
        return WholePass(lambda: self._run(size, patches, told), self._tower.config.depth)

    def _run(self, size: int, patches: Tensor, told: _Told) -> Tensor:
        """Features [tokens, output_size]. Nothing is waited for.

        A size that is wanted for the first time is launched piece by piece, and captured for the next time.
        """
        place = self._fill(size, patches, told)
        tokens = len(patches) // self._tower.config.merge_size**2
        features = self._graphs.replay(size)
        if features is not None:
            return features[:tokens].clone()
        features = self._launch(place)[:tokens].clone()
        self._graphs.capture(size, lambda: self._launch(place))
        return features

    def capture_next(self) -> bool:
        """Capture one more size; False when there is nothing left to capture."""
        return self._graphs.capture_next()

    def bytes_of_all(self) -> int:
        """What graphs of all sizes take of the device, by capturing some; for an engine that serves nobody."""
        return self._graphs.bytes_of_all()

    def _prepare(self, size: int) -> Callable[[], Tensor]:
        place = self._fill(size, self._place(size).patches[:0], self._tell(_NOBODY))
        self._launch(place)
        return lambda: self._launch(place)

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

    def _launch(self, place: _Place) -> Tensor:
        made = TowerPass(self._tower, place.patches, place.layout)
        made.advance(self._tower.config.depth)
        return made.features

    def _place(self, size: int) -> _Place:
        if self._whole is None:
            self._whole = _allocate(self._tower, self._most)
        if size not in self._places:
            self._places[size] = _beginning(self._tower, self._whole, size)
        return self._places[size]


class WholePass:
    """A pass that is launched as a whole, however many layers are asked for. It has what `TowerPass` has."""

    def __init__(self, run: Callable[[], Tensor], depth: int) -> None:
        self._run = run
        self._depth = depth
        self._features: Tensor | None = None

    @property
    def layer(self) -> int:
        return 0 if self._features is None else self._depth

    @property
    def done(self) -> bool:
        return self._features is not None

    def advance(self, layers: int) -> None:
        if layers > 0 and self._features is None:
            self._features = self._run()

    @property
    def features(self) -> Tensor:
        """Only once the pass is done."""
        assert self._features is not None
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
