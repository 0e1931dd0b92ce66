"""How many blocks the KV cache gets, and what to change when they are too few. Arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from upright.engine.footprint import Footprint
from upright.engine.start_error import StartError
from upright.messages import EngineOptions, MemoryPart
from upright.plan.memory import gib

GRAPH_SLACK = 2**28  # out of the room that steps have above what they usually take
HIGHEST_SHARE = 0.97  # of a GPU that is advised: more, and a fragment too many is a lack of memory


@dataclass(frozen=True)
class Card:
    """A GPU and what the engine takes of it besides its KV cache, in bytes."""

    total: int
    free: int  # when CUDA was there, and nothing else of the engine
    footprint: Footprint
    weights: int  # of the footprint's `consumed`
    features: int  # vision features, when their cache is full

    @property
    def taken(self) -> int:
        return self.footprint.consumed + self.footprint.transient + self.footprint.graphs + self.features

    @property
    def graph_room(self) -> int:
        """Bytes that graphs may take: what was measured, and as much again as measuring may have missed."""
        return self.footprint.graphs + GRAPH_SLACK

    def room(self, utilization: float) -> int:
        """Bytes for the KV cache; negative where not even the rest fits.

        As in vLLM, `utilization` is this engine's share of the whole card, whatever others hold of it; there is no
        more than is free.
        """
        return min(int(self.total * utilization), self.free) - self.taken

    def parts(self, cache: int) -> list[MemoryPart]:
        """All of the card, for the banner. `cache`: bytes of the KV cache."""
        footprint = self.footprint
        parts = [
            MemoryPart("weights", self.weights),
            MemoryPart("compiled kernels and libraries", max(0, footprint.consumed - self.weights)),
            MemoryPart("one step, at most", footprint.transient),
            MemoryPart("CUDA graphs", footprint.graphs),
            MemoryPart("vision features, at most", self.features),
            MemoryPart("KV cache", cache),
            MemoryPart("driver and other programs", self.total - self.free),
            MemoryPart("left free", max(0, self.free - self.taken - cache)),
        ]
        return [part for part in parts if part.bytes]

    def __str__(self) -> str:
        """Where the memory goes, for an error."""
        named = [f"{part.name} {gib(part.bytes)}" for part in self.parts(0) if part.name != "left free"]
        return f"the GPU has {gib(self.total)} ({', '.join(named)})"


def cache_blocks(options: EngineOptions, block: int, card: Card | None) -> int:
    """Blocks of `block` bytes that a sequence may use. On a GPU there is room for one more. Raises: StartError."""
    budget = options.kv_cache_bytes
    if card is None:
        assert budget is not None, "the plan gives a CPU's cache its size"
    else:
        room = card.room(1.0 if budget is not None else options.gpu_memory_utilization) - block
        if budget is not None and budget > room:
            raise StartError(
                f"a KV cache of {gib(budget)} does not fit: {card}",
                f"use --kv-cache-memory {room}" if room > block else "free memory on the GPU, or use a smaller model",
                memory=True,
            )
        budget = room if budget is None else budget
    blocks = max(0, min(budget // block, _blocks(options.max_model_len, options) * options.max_num_seqs))
    if blocks * options.block_size < options.max_model_len:
        raise _too_small(options, block, card, blocks)
    return blocks


def _too_small(options: EngineOptions, block: int, card: Card | None, blocks: int) -> StartError:
    fits = blocks * options.block_size
    needed = _blocks(options.max_model_len, options) * block
    problem = (
        f"the KV cache holds {fits} tokens in {gib(blocks * block)}, and one sequence may have "
        f"{options.max_model_len}, which take {gib(needed)}"
    )
    shorter = f"use --max-model-len {fits}" if fits > 1 else ""
    if card is None or options.kv_cache_bytes is not None:
        return StartError(problem, shorter or f"give more with --kv-cache-memory {needed}")
    share = math.ceil((card.taken + needed + block) / card.total * 100) / 100
    if options.gpu_memory_utilization < share <= min(HIGHEST_SHARE, card.free / card.total):
        advice = f"use --gpu-memory-utilization {share:g}" + (f", or --max-model-len {fits}" if fits > 1 else "")
    else:
        advice = shorter or "free memory on the GPU, use a smaller --max-num-batched-tokens, or a smaller model"
    share_text = f"--gpu-memory-utilization is {options.gpu_memory_utilization:g}"
    # Somebody else may hold what is missing, so another try is worth it.
    return StartError(f"{problem}; {share_text}; {card}", advice, memory=True)


def _blocks(tokens: int, options: EngineOptions) -> int:
    return -(-tokens // options.block_size)
