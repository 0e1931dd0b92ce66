"""How far a chunk may go for the images that it meets: which features are there, and which a step encodes."""

from __future__ import annotations

from collections.abc import Iterable

from upright.engine.encoder_cache import EncoderCache
from upright.engine.sequence import Sequence, image_end
from upright.engine.step import Budget, Encoding


class ImageFitting:
    """`ahead`: while others decode, images are encoded beside the steps, and tokens over them wait."""

    def __init__(self, encoder: EncoderCache, ahead: bool) -> None:
        self._encoder = encoder
        self._ahead = ahead
        self._encoding: set[bytes] = set()  # images whose features may not be ready yet

    def ready(self, keys: Iterable[bytes]) -> None:
        """The features of these images are ready."""
        self._encoding.difference_update(keys)

    def fit(self, sequence: Sequence, length: int, budget: Budget) -> int:
        """Shorten a chunk so that it stops just before the first image whose features cannot be had in this step.

        Encoding ahead, it stops before the first image that is not ready; those after it are encoded all the same.
        While nobody decodes one sequence goes on: the device waits for its features, and no longer than it has to.
        """
        start = sequence.computed
        if start >= sequence.prompt_length:
            return length
        fitting = length
        for index in sequence.images_between(start, start + length):
            image = sequence.request.images[index]
            if image.key in self._encoder:
                self._encoder.pin(image.key, sequence.id)
            elif budget.may_encode(image.tokens) and self._encoder.reserve(image.key, image.tokens, sequence.id):
                budget.encode(sequence, index)
                if self._ahead:
                    self._encoding.add(image.key)
            else:
                return min(fitting, max(0, image.start - start))
            if image.key in self._encoding:
                if budget.ahead or budget.unready not in (None, sequence):
                    budget.held_back = True
                    fitting = min(fitting, max(0, image.start - start))
                elif image.start - start < fitting:
                    budget.unready = sequence
        return fitting

    def still_wanted(self, encodings: list[Encoding]) -> tuple[Encoding, ...]:
        """One encoding per key that is still reserved: a sequence preempted in this step may have lost its place."""
        by_key = {encoding.sequence.request.images[encoding.image].key: encoding for encoding in encodings}
        return tuple(encoding for key, encoding in by_key.items() if key in self._encoder)

    def unpin_computed(self, sequence: Sequence, computed: int) -> None:
        """The sequence's first `computed` tokens are in the cache, and need no features any more."""
        for image in sequence.request.images:
            if image_end(image) <= computed:
                self._encoder.unpin(image.key, sequence.id)

    def unpin_all(self, sequence: Sequence) -> None:
        for image in sequence.request.images:
            self._encoder.unpin(image.key, sequence.id)
