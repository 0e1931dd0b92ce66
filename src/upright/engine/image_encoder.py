"""Images of a step through the vision tower, and their features over the placeholder tokens of prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from upright.engine.scheduler import Chunk, Encoding
from upright.engine.sequence import image_end
from upright.models.image_grid import ImageGrid
from upright.models.image_pixels import image_patches
from upright.models.model import Model


class ImageEncoder:
    """Keeps what the encoder cache only counts: features [tokens, hidden] by image key."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._features: dict[bytes, Tensor] = {}

    def drop(self, keys: list[bytes]) -> None:
        """Forget features whose room others have taken; unknown keys were never encoded."""
        for key in keys:
            self._features.pop(key, None)

    def finished(self) -> list[bytes]:
        """Keys whose features have become ready since this was last asked."""
        return []

    def encode(self, encodings: tuple[Encoding, ...]) -> None:
        """All images of the step in one pass through the tower, packed."""
        config, tower = self._model.config, self._model.vision
        if tower is None or config.vision is None or config.image is None:
            raise ValueError("a request with images reached a model without a vision tower")
        images = [encoding.sequence.request.images[encoding.image] for encoding in encodings]
        patch = config.vision.patch_size
        patches = [
            image_patches(
                encoding.sequence.pixels[encoding.image].to(self._model.device),
                ImageGrid(image.grid_height * patch, image.grid_width * patch, image.grid_height, image.grid_width,
                          image.tokens),
                config.vision,
                config.image,
            )
            for encoding, image in zip(encodings, images, strict=True)
        ]  # fmt: skip
        packed = patches[0] if len(patches) == 1 else torch.cat(patches)
        features = tower.encode(packed, [(image.grid_height, image.grid_width) for image in images])
        # Each image owns its features: a view would keep the whole pass alive until its last image is evicted.
        for image, part in zip(images, torch.split(features, [image.tokens for image in images]), strict=True):
            self._features[image.key] = part.clone() if len(images) > 1 else part

    def place(self, hidden: Tensor, chunks: tuple[Chunk, ...]) -> None:
        """Overwrite the embeddings of placeholder tokens in `hidden` [T, hidden] with the images' features."""
        row = 0
        for chunk in chunks:
            stop = chunk.start + chunk.length
            for index in chunk.sequence.images_between(chunk.start, stop):
                image = chunk.sequence.request.images[index]
                first, last = max(chunk.start, image.start), min(stop, image_end(image))
                target = hidden[row + first - chunk.start : row + last - chunk.start]
                target.copy_(self._features[image.key][first - image.start : last - image.start])
            row += chunk.length
