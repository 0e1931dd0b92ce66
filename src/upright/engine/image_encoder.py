"""Images through the vision tower, and their features over the placeholder tokens of prompts.

A pass through the tower is queued a few layers with each step, as graphs where it can be (`tower_graphs`), on a stream
of its own, with a lower priority than the steps'. A step that reads features before their pass is done has the
rest queued at once, and the device waits for it, never the host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from upright.engine.graph_pool import GraphPool, GraphRoom
from upright.engine.images import ImageDecoder
from upright.engine.pixels import PixelStore
from upright.engine.sequence import Sequence, image_end
from upright.engine.step import Chunk, Encoding
from upright.engine.tower_graphs import GraphedPass, TowerGraphs
from upright.kernels.attention.tiles import TRITON
from upright.messages import Image
from upright.models.image_grid import ImageGrid, image_grid
from upright.models.image_pixels import pack_patches
from upright.models.model import Model
from upright.models.vision import TowerPass

PASS_PATCHES = 12_288  # images are packed up to here: enough to fill a device, and the first are ready soon
PASS_STEPS = 4  # over which a pass is spread while sequences run
SHARES_AHEAD = 4  # shares of a pass that the device may have before it
TOWER_PRIORITY, STEP_PRIORITY = 0, -1  # of CUDA streams: where both have work the lower number goes first


@dataclass(eq=False)
class _Pass:
    """Images that go through the tower together."""

    requests: tuple[str, ...]  # ids of those that brought them
    images: list[Image]
    pixels: list[Tensor]  # until it begins
    run: TowerPass | GraphedPass | None = None  # from then on, until its last operation is queued
    ready: torch.cuda.Event | None = None  # recorded behind that


class ImageEncoder:
    """Keeps what the encoder cache only counts: features [tokens, hidden] by image key. One thread calls it."""

    def __init__(self, model: Model) -> None:
        self.pixels = PixelStore()
        self.decoder = ImageDecoder(model.config.vision.patch_size if model.config.vision else 1, model.device)
        self._model = model
        self._stream: torch.cuda.Stream | None = None
        if model.device.type == "cuda" and model.vision is not None:
            self._stream = torch.cuda.Stream(model.device, priority=TOWER_PRIORITY)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(model.device))  # which may still fill the weights
        self._graphs: TowerGraphs | None = None
        flags = model.decoder.overflow_flags
        self._overflow = flags[-1] if flags is not None else None  # int32 [1]: a feature was infinite or NaN
        self._features: dict[bytes, Tensor] = {}
        self._passes: dict[bytes, _Pass] = {}  # by key: where features are that may not be ready
        self._queue: deque[_Pass] = deque()  # with layers left to queue, in order
        self._shares: deque[torch.cuda.Event] = deque()  # recorded behind each share that the device was given
        self._running: deque[_Pass] = deque()  # the device has all of them, in order

    def use_graphs(self, room: GraphRoom) -> None:
        """From now on passes are captured, where there is a stream for them and Triton's attention serves."""
        attention = self._model.vision_attention
        captured = attention is not None and attention.candidate is TRITON
        if captured and self._stream is not None and self._model.vision is not None:
            pool = GraphPool(self._stream, room)
            self._graphs = TowerGraphs(self._model.vision, pool, PASS_PATCHES, self._share)

    @torch.inference_mode()
    def idle(self) -> bool:
        """Capture one more graph; False when there is none to capture."""
        if self._graphs is None or self._queue:
            return False
        with self._on_stream():
            return self._graphs.capture_next()

    @torch.inference_mode()
    def graph_bytes(self) -> int:
        """What their graphs take of the device, by capturing some; for an encoder that serves nobody."""
        if self._graphs is None:
            return 0
        with self._on_stream():
            return self._graphs.bytes_of_all()

    def drop(self, keys: list[bytes]) -> None:
        """Forget features whose room others have taken; unknown keys were never encoded."""
        for key in keys:
            self._features.pop(key, None)
            self._passes.pop(key, None)

    def forget(self, sequence: Sequence) -> None:
        """The sequence has left the engine, and its images may never have been encoded."""
        for image in sequence.request.images:
            self.pixels.take(image.key)

    @property
    def on_way(self) -> tuple[str, ...]:
        """Ids of the requests whose images the device has not encoded yet, as far as it is known."""
        return tuple({name for made in (*self._queue, *self._running) for name in made.requests})

    @torch.inference_mode()
    def encode(self, encodings: tuple[Encoding, ...]) -> None:
        """Take up new images and carry all on: to be called with every step, as a part of it.

        Those that fit into a pass share it; an image always stays whole. With a step goes a share of a pass, unless the
        device still has as much before it as keeps it busy: what is queued beyond that would only hold up the host.

        Raises: ValueError without a vision tower; ImageFault when an image that could be decoded before no longer can.
        """
        if encodings and self._model.vision is None:
            raise ValueError("a request with images reached a model without a vision tower")
        for part in packed(encodings):
            images = [encoding.sequence.request.images[encoding.image] for encoding in part]
            names = tuple(encoding.sequence.id for encoding in part)
            made = _Pass(names, images, [self._pixels(image) for image in images])
            self._passes.update((image.key, made) for image in images)
            self._queue.append(made)
        while self._shares and _has_passed(self._shares[0]):
            self._shares.popleft()
        if self._queue and len(self._shares) < SHARES_AHEAD:
            with self._on_stream():
                self._advance(self._share)
                if self._stream is not None:
                    self._shares.append(self._stream.record_event())

    @torch.inference_mode()
    def place(self, hidden: Tensor, chunks: tuple[Chunk, ...]) -> None:
        """Overwrite the embeddings of placeholder tokens in `hidden` [T, hidden] with the images' features."""
        row = 0
        for chunk in chunks:
            sequence, stop = chunk.sequence, chunk.start + chunk.length
            inside = sequence.images_between(chunk.start, stop) if chunk.start < sequence.prompt_length else ()
            for index in inside:
                image = sequence.request.images[index]
                first, last = max(chunk.start, image.start), min(stop, image_end(image))
                target = hidden[row + first - chunk.start : row + last - chunk.start]
                target.copy_(self._features_of(image.key)[first - image.start : last - image.start])
            row += chunk.length

    def finished(self) -> list[bytes]:
        """Keys of the images whose features have become ready since this was last asked."""
        keys = []
        while self._running and _has_passed(self._running[0].ready):
            made = self._running.popleft()
            for image in made.images:
                if self._passes.get(image.key) is made:
                    del self._passes[image.key]
                    keys.append(image.key)
        return keys

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Have everything compiled that an image needs, where there is a vision tower."""
        config, tower = self._model.config, self._model.vision
        if tower is None or config.vision is None or config.image is None:
            return
        height, width = 57, 85  # of a picture that has to be resized, along both sides
        grid = image_grid(height, width, config.vision, config.image)
        pixels = torch.zeros(height, width, 3, dtype=torch.uint8)
        with self._on_stream():
            patches = pack_patches([pixels], [grid], config.vision, config.image, self._model.device, tower.dtype)
            tower.encode(patches, [(grid.grid_height, grid.grid_width)])
            if self._graphs is not None:
                self._graphs.capture_next()

    @property
    def _share(self) -> int:
        """Layers that are queued with a step."""
        return -(-self._depth // PASS_STEPS)

    @property
    def _depth(self) -> int:
        vision = self._model.config.vision
        return vision.depth if vision is not None else 0

    def _on_stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()

    def _pixels(self, image: Image) -> Tensor:
        pixels = self.pixels.take(image.key)
        # Nobody decoded it, because its features were there when the request came: they have been evicted since.
        return pixels if pixels is not None else self.decoder.decode(image)

    def _advance(self, layers: int) -> None:
        """Queue `layers` layers, of the passes in their order."""
        while self._queue and layers > 0:
            layers -= self._carry_on(self._queue[0], layers)
            if self._queue[0].run is None:
                self._queue.popleft()

    def _carry_on(self, made: _Pass, layers: int) -> int:
        """Queue at most `layers` layers of a pass, and the rest with the last of them; returns how many they were."""
        if not any(self._passes.get(image.key) is made for image in made.images):
            made.run = None  # all of its features have been dropped, and so is the pass
            return 0
        if made.run is None:
            made.run = self._begin(made)
        before = made.run.layer
        made.run.advance(layers)
        queued = made.run.layer - before
        if made.run.done:
            self._end(made, made.run.features)
        return queued

    def _begin(self, made: _Pass) -> TowerPass | GraphedPass:
        config, tower = self._model.config, self._model.vision
        assert tower is not None and config.vision is not None and config.image is not None
        patches = pack_patches(made.pixels, [_grid(image, config.vision.patch_size) for image in made.images],
                               config.vision, config.image, self._model.device, self._model.dtype)  # fmt: skip
        made.pixels = []
        grids = [(image.grid_height, image.grid_width) for image in made.images]
        whole = self._graphs.begin(patches, grids) if self._graphs is not None else None
        return whole or TowerPass(tower, patches, tower.layout(grids))

    def _end(self, made: _Pass, features: Tensor) -> None:
        if self._overflow is not None:
            self._overflow.logical_or_(~features.isfinite().all())
        # Each image owns its features: a view would keep the whole pass alive until its last image is evicted.
        for image, part in zip(
            made.images, torch.split(features, [image.tokens for image in made.images]), strict=True
        ):
            if self._passes.get(image.key) is made:
                self._features[image.key] = part.clone() if len(made.images) > 1 else part
        made.run = None
        if self._stream is not None:
            made.ready = self._stream.record_event()
        self._running.append(made)

    def _features_of(self, key: bytes) -> Tensor:
        """Features that the current stream may read."""
        made = self._passes.get(key)
        if made is not None and made in self._queue:
            with self._on_stream():
                while made in self._queue:  # those before it too: a pass that has begun has what all of them share
                    self._advance(self._depth)
        features = self._features[key]
        if self._stream is not None:
            current = torch.cuda.current_stream(self._model.device)
            if made is not None and made.ready is not None:
                current.wait_event(made.ready)
            features.record_stream(current)  # so that dropping them does not free them under a step that reads them
        return features


def _has_passed(event: torch.cuda.Event | None) -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]


def packed(encodings: Iterable[Encoding]) -> Iterator[list[Encoding]]:
    """Images in passes of PASS_PATCHES, in order; one that is larger has a pass of its own."""
    passing: list[Encoding] = []
    patches = 0
    for encoding in encodings:
        image = encoding.sequence.request.images[encoding.image]
        size = image.grid_height * image.grid_width
        if passing and patches + size > PASS_PATCHES:
            yield passing
            passing, patches = [], 0
        passing.append(encoding)
        patches += size
    if passing:
        yield passing


def _grid(image: Image, patch: int) -> ImageGrid:
    height, width = image.grid_height, image.grid_width
    return ImageGrid(height * patch, width * patch, height, width, image.tokens)
