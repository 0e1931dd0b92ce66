"""Passes through the vision tower as CUDA graphs: one launch in place of hundreds, whatever images are packed together.

A graph has a fixed number of patches, and a pass takes the smallest that holds it. Everything else about the images,
their positions and their runs, is read from tensors that are written before each replay; patches of nobody fill up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upright.engine.graph_pool import GraphPool, SizedGraphs
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
    image_tiles: Tensor  # int32 [tiles, 3]
    window_tiles: Tensor


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
        self._graphs = SizedGraphs("the vision tower", pool)
        self._places: dict[int, _Place] = {}
        self._whole: _Place | None = None  # the place of the largest: all others are its beginnings

    def fits(self, grids: Sequence[Grid]) -> bool:
        patches = sum(height * width for height, width in grids)
        if patches > self._most:
            return False
        layout, size = layout_of(tuple(grids), self._tower.config), size_for(patches)
        lengths = ((layout.images, _PATCHES_AN_IMAGE), (layout.windows, _PATCHES_A_WINDOW))
        return all(len(_tiles(runs)) <= _most_tiles(size, each) for runs, each in lengths)

    def run(self, patches: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Features [tokens, output_size] of `patches` [patches, values per patch], which fit. Nothing is waited for.

        A size that is wanted for the first time is launched piece by piece, and captured for the next time.
        """
        size = size_for(len(patches))
        place = self._place(size)
        _fill(place, patches, layout_of(tuple(grids), self._tower.config))
        tokens = len(patches) // self._tower.config.merge_size**2
        features = self._graphs.replay(size)
        if features is not None:
            return features[:tokens].clone()
        features = self._launch(place)[:tokens].clone()
        self._capture(size)
        return features

    def capture_next(self) -> bool:
        """Capture one more size, from the smallest on; False when there is nothing left to capture."""
        size = self._graphs.first_missing(_sizes(self._most))
        if size is None:
            return False
        place = self._place(size)
        _fill(place, place.patches[:0], None)
        self._launch(place)
        return self._capture(size)

    def bytes_of_all(self) -> int:
        """What graphs take of the device, by capturing the largest; for an engine that serves nobody."""
        place = self._place(self._most)
        _fill(place, place.patches[:0], None)
        self._launch(place)
        self._capture(self._most)
        return self._graphs.bytes

    def _launch(self, place: _Place) -> Tensor:
        made = TowerPass(self._tower, place.patches, place.layout)
        made.advance(self._tower.config.depth)
        return made.features

    def _capture(self, size: int) -> bool:
        place = self._places[size]
        return self._graphs.capture(size, lambda: self._launch(place))

    def _place(self, size: int) -> _Place:
        if self._whole is None:
            self._whole = _allocate(self._tower, self._most)
        if size not in self._places:
            self._places[size] = _beginning(self._tower, self._whole, size)
        return self._places[size]


class WholePass:
    """A pass that is launched as a whole, however many layers are asked for. It has what `TowerPass` has."""

    def __init__(self, graphs: TowerGraphs, patches: Tensor, grids: Sequence[Grid], depth: int) -> None:
        self._graphs = graphs
        self._patches = patches
        self._grids = grids
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
            self._features = self._graphs.run(self._patches, self._grids)

    @property
    def features(self) -> Tensor:
        """Only once the pass is done."""
        assert self._features is not None
        return self._features


def _most_tiles(size: int, each: int) -> int:
    """Of a size whose runs have `each` patches on average: the full tiles, one for the end of each run, and some."""
    return size // LEAST + size // each + 8


def _tiles(lengths: tuple[int, ...]) -> Tensor:
    from upright.kernels.triton.packed_attention import tiles_of

    return tiles_of(lengths)


def _allocate(tower: VisionTower, size: int) -> _Place:
    config, device = tower.config, tower.device
    values = config.in_channels * config.temporal_patch_size * config.patch_size**2
    images, windows = (
        torch.zeros(_most_tiles(size, each), 3, dtype=torch.int32, device=device)
        for each in (_PATCHES_AN_IMAGE, _PATCHES_A_WINDOW)
    )
    order = None
    if config.window_size is not None:
        order = torch.zeros(size // config.merge_size**2, dtype=torch.int64, device=device)
    positions = torch.zeros(2, size, dtype=torch.int32, device=device)
    patches = torch.zeros(size, values, dtype=tower.dtype, device=device)
    return _Place(patches, TowerLayout(positions, Runs(()), Runs(()), order), images, windows)


def _beginning(tower: VisionTower, whole: _Place, size: int) -> _Place:
    from upright.kernels.triton.packed_attention import ROWS, tiles_plan

    layout = whole.layout
    order = None if layout.order is None else layout.order[: size // tower.config.merge_size**2]
    positions = layout.positions.flatten()[: 2 * size].view(2, size)
    images = whole.image_tiles[: _most_tiles(size, _PATCHES_AN_IMAGE)]
    windows = whole.window_tiles[: _most_tiles(size, _PATCHES_A_WINDOW)]
    name = tiles_plan(ROWS)
    made = TowerLayout(positions, Runs((), {name: images}), Runs((), {name: windows}), order)
    return _Place(whole.patches[:size], made, images, windows)


def _fill(place: _Place, patches: Tensor, layout: Layout | None) -> None:
    """Write a pass of `patches` to its place, and nothing behind it. Without a layout there are none."""
    count, size = len(patches), len(place.patches)
    place.patches[:count].copy_(patches)
    place.patches[count:].zero_()
    positions = torch.zeros(2, size, dtype=torch.int32)
    if layout is not None:
        positions[:, :count] = layout.positions
    _send(positions, place.layout.positions)
    runs = ((), ()) if layout is None else (layout.images, layout.windows)
    for lengths, there in zip(runs, (place.image_tiles, place.window_tiles), strict=True):
        tiles = torch.zeros(there.shape, dtype=torch.int32)
        given = _tiles(lengths)
        tiles[: len(given)] = given
        _send(tiles, there)
    if place.layout.order is not None:
        order = torch.arange(len(place.layout.order))  # what is nobody's stays where it is
        if layout is not None and layout.order is not None:
            order[: len(layout.order)] = layout.order
        _send(order, place.layout.order)


def _send(values: Tensor, there: Tensor) -> None:
    pinned = there.device.type == "cuda"
    there.copy_(values.pin_memory() if pinned else values, non_blocking=pinned)
