"""Passes through the vision tower as CUDA graphs, where images of the same sizes come again: one launch for hundreds.

Pages of documents have one size, or are brought to one; what is cut out of them has all sizes, and goes through the
tower layer by layer. A pass is captured when its sizes come for the second time.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upright.engine.graph_pool import GraphPool
from upright.models.vision import TowerLayout, TowerPass, VisionTower
from upright.models.vision_layout import Grid

log = logging.getLogger(__name__)

MOST_GRAPHS = 16  # those that were used last; each takes about a megabyte besides the pool
_MOST_SEEN = 256  # passes that are remembered, to know those that come again


@dataclass(frozen=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    features: Tensor  # in the pool: [tokens, output_size], right after a replay only
    layout: TowerLayout  # which the graph reads


class TowerGraphs:
    """`most_patches`: of a pass that is captured. All graphs read their patches from the same place."""

    def __init__(self, tower: VisionTower, stream: torch.cuda.Stream, most_patches: int) -> None:
        self._tower = tower
        self._most = most_patches
        self._pool = GraphPool(stream)
        self._patches: Tensor | None = None  # [most_patches, values per patch]
        self._captured: OrderedDict[tuple[Grid, ...], _Captured] = OrderedDict()
        self._seen: OrderedDict[tuple[Grid, ...], None] = OrderedDict()
        self._closed = False

    @property
    def stream(self) -> torch.cuda.Stream:
        return self._pool.stream

    def begin(self, patches: Tensor, grids: Sequence[Grid]) -> TowerPass | ReplayedPass:
        """A pass of `patches` [patches, values per patch], packed images of `grids`. To be called on the stream."""
        sizes = tuple(grids)
        known = self._captured.get(sizes)
        if known is not None and self._patches is not None:
            self._captured.move_to_end(sizes)
            return ReplayedPass(known, patches, self._patches[: len(patches)], self._tower.config.depth)
        layout = self._tower.layout(sizes)
        made = TowerPass(self._tower, patches, layout)
        if not self._closed and len(patches) <= self._most and self._comes_again(sizes):
            made.advance(self._tower.config.depth)  # all that is made once for a layout is there then
            self._capture(sizes, layout, patches)
        return made

    def bytes_of_all(self) -> int:
        """What graphs take of the device, by capturing the largest."""
        merge, config = self._tower.config.merge_size, self._tower.config
        side = math.isqrt(self._most // merge**2) * merge
        values = config.in_channels * config.temporal_patch_size * config.patch_size**2
        patches = torch.zeros(side**2, values, dtype=self._tower.dtype, device=self._tower.device)
        for _ in range(2):
            self.begin(patches, [(side, side)])
        return self._pool.bytes

    def _comes_again(self, sizes: tuple[Grid, ...]) -> bool:
        if sizes in self._seen:
            del self._seen[sizes]
            return True
        self._seen[sizes] = None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return False

    def _capture(self, sizes: tuple[Grid, ...], layout: TowerLayout, patches: Tensor) -> None:
        tower = self._tower

        def run() -> Tensor:
            made = TowerPass(tower, place, layout)
            made.advance(tower.config.depth)
            return made.features

        try:
            if self._patches is None:
                self._patches = patches.new_empty(self._most, patches.shape[1])
            place = self._patches[: len(patches)]
            graph, features = self._pool.capture(run)
        except torch.OutOfMemoryError as error:
            self._closed = True
            log.warning("no more CUDA graphs of the vision tower: no memory is left for them: %s", error)
            torch.cuda.empty_cache()
            return
        self._captured[sizes] = _Captured(graph, features, layout)
        if len(self._captured) > MOST_GRAPHS:
            self._captured.popitem(last=False)


class ReplayedPass:
    """A pass that is launched as a whole. It has what `TowerPass` has."""

    def __init__(self, captured: _Captured, patches: Tensor, place: Tensor, depth: int) -> None:
        self._captured = captured
        self._patches = patches
        self._place = place
        self._depth = depth
        self.layer = 0

    @property
    def done(self) -> bool:
        return self.layer == self._depth

    def advance(self, layers: int) -> None:
        """All layers, however many are asked for."""
        if layers > 0 and not self.done:
            self._place.copy_(self._patches)
            self._captured.graph.replay()
            self.features = self._captured.features.clone()
            self.layer = self._depth
