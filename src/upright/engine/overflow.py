"""float16 ends at 65,504, and some layers of some checkpoints go beyond: no token may come of that.

Kernels flag every layer after which a value is infinite or NaN (`Decoder.overflow_flags`), and the vision tower's
features are flagged likewise. The flags travel to the host with every step's tokens, and a step that has any ends the
engine before its tokens are told. Which layers it were is kept in a file, so the next engine computes them in a wider
range and the requests go on there. What overflows in the steps of start-up is widened at once.

Widening reaches what a layer adds to the residual, and the product of gate and up. Queries, keys, values, gate and up
themselves have float16's range alone: where one of them overflows it shows as well, and another dtype is the only help.
One case shows nowhere: a key whose products with all queries are negative infinity is paid no attention, and all else
stays finite.
"""

from __future__ import annotations

import json
import logging
from hashlib import blake2b
from pathlib import Path

from torch import Tensor

from upright.engine.host_buffers import HostBuffers
from upright.engine.kept_entries import KeptEntries
from upright.engine.start_error import StartError
from upright.messages import EngineOptions
from upright.models.decoder import Decoder
from upright.models.model import Model

log = logging.getLogger(__name__)

KEPT_MODELS = 64  # that a file remembers
BEYOND = "the checkpoint's activations exceed 65,504, the most that float16 holds"
OTHER_DTYPE = "use --dtype bfloat16 where the GPU has it (compute capability 8.0 and above), or --dtype float32"


class Float16Overflow(Exception):
    """A step has left float16's range, and its tokens mean nothing. `layers` of the decoder; none: the vision tower."""

    def __init__(self, layers: list[int], what_now: str) -> None:
        where = f"in {named(layers)} of the decoder" if layers else "in the vision tower"
        super().__init__(f"float16 overflowed {where}: {BEYOND}. No token was made of it. {what_now}")
        self.layers = layers


class WideLayers:
    """Layers of one model that need a wider range, in a small JSON file with those of others."""

    def __init__(self, file: Path | None, key: str) -> None:
        self._entries: KeptEntries[list[int]] = KeptEntries(file, list[int], "which layers overflowed", KEPT_MODELS)
        self._key = key

    def recall(self) -> list[int]:
        return self._entries.get(self._key) or []

    def learn(self, layers: list[int]) -> bool:
        """Add to what is known. False: nothing can be kept."""
        return self._entries.put(self._key, sorted({*self.recall(), *layers}))


class OverflowWatch:
    """Looks at a float16 decoder's flags, `flags` int32 [layers + 1, 1]. It begins by widening what is known."""

    def __init__(self, decoder: Decoder, flags: Tensor, kept: WideLayers) -> None:
        self._decoder = decoder
        self._flags = flags.flatten()
        self._kept = kept
        self._host = HostBuffers(len(flags), flags.dtype, flags.device)
        known = [layer for layer in kept.recall() if 0 <= layer < decoder.config.layers]
        if known:
            decoder.widen(known)
            log.info("%s in a wider range: an engine before had them overflow float16", named(known))

    def send(self) -> Tensor:
        """The flags int32 [layers + 1] on the host, once the device has done all that it has been given so far."""
        return self._host.next().copy_(self._flags, non_blocking=True)

    def check(self, sent: Tensor) -> None:
        """Look at what `send` returned, which must be there.

        Raises: Float16Overflow. What the next engine can do better is kept before.
        """
        *layers_flagged, tower_flagged = sent.tolist()
        if tower_flagged:  # and every layer that has read the features since
            raise Float16Overflow([], f"The range cannot be widened there: {OTHER_DTYPE}.")
        layers = [layer for layer, flagged in enumerate(layers_flagged) if flagged]
        if not layers:
            return
        if self._is_wide(layers[0]):
            raise Float16Overflow(layers, f"{_wide_already(layers[0])}: {OTHER_DTYPE}.")
        if self._kept.learn(layers):
            raise Float16Overflow(layers, "The next engine computes these layers in a wider range and goes on.")
        raise Float16Overflow(
            layers, f"A wider range would do, but there is no file to keep that in (--state-dir): {OTHER_DTYPE}."
        )

    def settle(self) -> bool:
        """Widen, and keep, what has overflowed in steps that drew for nobody. True: they are to be run again, and
        graphs to be captured again. Waits for the device.

        Raises: StartError when a wider range does not help.
        """
        layers = self._decoder.overflowed()
        if not layers:
            return False
        if self._is_wide(layers[0]):
            told = f"float16 overflows in {named(layers)} of the decoder: {BEYOND}. {_wide_already(layers[0])}"
            raise StartError(told, f"{OTHER_DTYPE}; if that does not help, the weight files are damaged")
        log.warning("float16 overflows in %s: %s; they are computed in a wider range", named(layers), BEYOND)
        self._kept.learn(layers)
        self._decoder.widen(layers)
        return True

    def _is_wide(self, layer: int) -> bool:
        """NOTE: of flagged layers the first matters. Those behind it may only have inherited what it left, and are
        widened with it: that costs next to nothing, and to find out which of them need it costs an engine each."""
        return layer in self._decoder.wide_layers


def watch_overflow(model: Model, options: EngineOptions) -> OverflowWatch | None:
    """For a model in float16; None for others, of which nothing is looked at."""
    flags = model.decoder.overflow_flags
    if flags is None:
        return None
    file = Path(options.overflowed) if options.overflowed is not None else None
    facts = [options.model_path, options.load_format, options.dtype, repr(model.config)]
    key = blake2b(json.dumps(facts).encode(), digest_size=12).hexdigest()
    return OverflowWatch(model.decoder, flags, WideLayers(file, key))


def named(layers: list[int]) -> str:
    """Sorted layers in words: `layer 3`, `layers 3, 5 to 27`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    told = ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return f"layer{'s' if len(layers) > 1 else ''} {told}"


def _wide_already(layer: int) -> str:
    return f"Layer {layer} was computed in a wider range already, which does not help (queries, keys, values, gate, up)"
