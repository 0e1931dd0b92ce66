"""Steps with prompts that fill a size up, and on a real GPU are replayed, give what they give launched as they are."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
import torch

from tests.dummy_models import draw_weights, dummy_model
from tests.triton_device import DEVICE, INTERPRETED, EagerPool, triton_only, triton_serves  # noqa: F401
from upright.engine.device_slots import DeviceSlots
from upright.engine.graph_pool import GraphPool, GraphRoom
from upright.engine.prompt_graphs import STEP, PromptGraphs
from upright.engine.runner import Runner
from upright.engine.sequence import Sequence
from upright.engine.step import Chunk
from upright.kernels.attention.batch import KVCache
from upright.kernels.attention.dispatch import Choice
from upright.kernels.attention.reference import REFERENCE
from upright.kernels.attention.tiles import TRITON
from upright.messages import Request, SamplingParams
from upright.models.model import Model

SLOTS, BLOCK = 6, 16
DTYPE = torch.float16
Spans = dict[int, tuple[int, int]]  # by slot: the first token of a chunk, and the one behind it

pytestmark = [*triton_only, pytest.mark.usefixtures("triton_serves")]


def made_model() -> Model:
    model = dummy_model("qwen2_vl", DEVICE, DTYPE, REFERENCE.name)
    draw_weights(model.decoder, 0.08)
    model.decoder.decode_attention = model.decoder.prefill_attention = TRITON
    return replace(model, decode_attention=Choice(TRITON), prefill_attention=Choice(TRITON))


class Engine:
    """A runner's parts, and sequences that lie anywhere in the cache."""

    def __init__(self) -> None:
        self.model = made_model()
        decoder = self.model.config.decoder
        self.cache = KVCache.allocate(decoder.layers, 80, BLOCK, decoder.kv_heads, decoder.head_size, DTYPE, DEVICE)
        self.runner = Runner(self.model, self.cache, SLOTS)
        self.slots = DeviceSlots(SLOTS, 12, 79, 12 * BLOCK, torch.device(DEVICE))
        free = random.Random(1).sample(range(79), 79)
        self.sequences = []
        for slot in range(SLOTS):
            prompt = random.Random(slot).choices(range(900), k=150)
            params = SamplingParams(seed=0, max_tokens=20, temperature=0.0)
            sequence = Sequence(Request(id=str(slot), prompt=prompt, params=params), BLOCK)
            sequence.slot, sequence.blocks = slot, [free.pop() for _ in range(11)]
            sequence.output = [(7 * slot + index) % 900 for index in range(10)]
            self.sequences.append(sequence)
        self.slots.enter(self.sequences, self.runner.prompts)
        self.slots.new_blocks(self.sequences, 0)

    def chunks(self, spans: Spans) -> tuple[Chunk, ...]:
        return tuple(
            Chunk(self.sequences[slot], start, stop - start, samples=True) for slot, (start, stop) in spans.items()
        )


@torch.inference_mode()
def test_a_step_that_is_filled_up_gives_the_same() -> None:
    engine = Engine()
    stream = torch.cuda.Stream() if DEVICE == "cuda" else None
    pool: Any = GraphPool(stream, GraphRoom(1 << 30)) if stream is not None else EagerPool()
    graphs = PromptGraphs(
        engine.model, engine.cache, engine.slots, engine.runner.prompts, SLOTS, 4 * STEP, pool
    )  # fmt: skip
    steps: list[Spans] = [
        {slot: (0, 20 + slot) for slot in range(4)},
        {2: (22, 23), 0: (20, 60), 1: (21, 22), 3: (23, 40)},
        {0: (60, 61), 4: (0, 2)},
        {5: (0, 127)},
        {1: (22, 150), 4: (2, 130), 0: (61, 62), 2: (23, 24)},
        {0: (62, 150), 3: (40, 41)},
    ]
    for spans in steps[1:3] * 2 if INTERPRETED else steps + steps:
        chunks = engine.chunks(spans)
        tokens = sum(chunk.length for chunk in chunks)
        ends = list(accumulate(chunk.length for chunk in chunks))
        expected = engine.runner._forward(chunks)
        kept = engine.cache.data.clone()
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            hidden = graphs.run(chunks, lambda embeddings: None)
            assert hidden is not None and len(hidden) > tokens
            hidden = hidden[[end - 1 for end in ends]].clone()
        if stream is not None:
            stream.synchronize()
        torch.testing.assert_close(hidden, expected, atol=2e-2, rtol=2e-2)
        torch.testing.assert_close(engine.cache.data, kept, atol=2e-2, rtol=2e-2)
        assert hidden.isfinite().all() and engine.model.decoder.overflowed() == []


@torch.inference_mode()
def test_what_no_graph_holds_is_left_to_others() -> None:
    engine = Engine()
    graphs = PromptGraphs(engine.model, engine.cache, engine.slots, engine.runner.prompts, SLOTS, STEP, None)
    assert graphs.run(engine.chunks({0: (0, STEP)}), lambda embeddings: None) is None, "a row has to be nobody's"
    short = PromptGraphs(engine.model, engine.cache, engine.slots, engine.runner.prompts, SLOTS, STEP, None)
    assert short.run(engine.chunks(dict.fromkeys(range(SLOTS), (0, 2))), lambda embeddings: None) is None
    assert not graphs.capture_next(), "nothing is captured without a pool"


@torch.inference_mode()
def test_a_size_is_captured_for_nobody() -> None:
    engine = Engine()
    pool: Any = EagerPool()
    graphs = PromptGraphs(engine.model, engine.cache, engine.slots, engine.runner.prompts, SLOTS, STEP, pool)
    kept = engine.cache.data.clone()
    assert graphs.capture_next() and not graphs.capture_next()
    assert torch.equal(engine.cache.data, kept), "nobody's keys are not stored"


@torch.inference_mode()
def test_images_take_the_place_of_embeddings() -> None:
    engine = Engine()
    graphs = PromptGraphs(engine.model, engine.cache, engine.slots, engine.runner.prompts, SLOTS, STEP, None)
    chunks = engine.chunks({0: (0, 9)})
    seen: list[tuple[int, ...]] = []

    def place(embeddings: torch.Tensor) -> None:
        seen.append(tuple(embeddings.shape))
        embeddings[3:5] = 0.5

    hidden = graphs.run(chunks, lambda embeddings: None)
    assert hidden is not None
    plain = hidden[:9].clone()
    changed = graphs.run(chunks, place)
    assert changed is not None and seen == [(9, engine.model.config.decoder.hidden_size)]
    assert torch.equal(changed[:3], plain[:3]) and not torch.equal(changed[3:9], plain[3:9])
