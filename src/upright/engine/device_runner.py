"""The runner of a GPU: everything that a step needs stays on the device, and decode steps are CUDA graphs.

It runs on a CPU as well, without streams and graphs, so that the path is tested where there is no GPU.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from upright.engine.decode_graphs import DecodeGraphs
from upright.engine.decode_step import DecodeStep
from upright.engine.device_slots import DeviceSlots
from upright.engine.graph_pool import GraphPool, GraphRoom
from upright.engine.host_buffers import HostBuffers
from upright.engine.image_encoder import STEP_PRIORITY
from upright.engine.places import Decodes
from upright.engine.prompt_graphs import PromptGraphs, most_rows
from upright.engine.runner import NOTHING_DRAWN, Launched, Runner, counts_output, embeddable, sample_rows
from upright.engine.sampler import sample
from upright.engine.sequence import Sequence
from upright.engine.step import Chunk, Step
from upright.kernels.attention.batch import KVCache
from upright.kernels.attention.tiles import TRITON
from upright.kernels.sampler_state import served_on_device
from upright.kernels.sampling import draw
from upright.kernels.transfer import sent
from upright.messages import EngineOptions, TokenLogprobs
from upright.models.model import Model

ROWS_DRAWN_AGAIN = 32  # at the same time: with 256 of Qwen's vocabulary the sampler took 3 GiB for its copies


class DeviceRunner(Runner):
    """Executes steps of a model on a GPU.

    The last block of `cache` is the dummy's: no sequence may own it. `most_graph_bytes`: device memory that CUDA
    graphs may take; None: no graphs.
    """

    def __init__(
        self, model: Model, cache: KVCache, slots: int, max_model_len: int, most_graph_bytes: int | None
    ) -> None:
        super().__init__(model, cache, slots)
        device = model.device
        self.blocks = cache.blocks - 1
        most_blocks = -(-max_model_len // cache.block_size)
        self._slots = DeviceSlots(slots, most_blocks, cache.blocks - 1, max_model_len, device)
        self.drawn = self._slots.drawn
        self._decode = DecodeStep(model, cache, self._slots, slots)
        self._stream: torch.cuda.Stream | None = None
        self._graphs: DecodeGraphs | None = None
        self._prompts: PromptGraphs | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device, priority=STEP_PRIORITY)  # type: ignore[no-untyped-call]
        if most_graph_bytes is not None:
            self._use_graphs(GraphRoom(most_graph_bytes), slots)
        # NOTE: a candidate that reads lengths on the host cannot serve steps that only the device knows
        self._device_lengths = device.type == "cpu" or model.decode_attention.candidate.capturable
        self._host_tokens = HostBuffers(slots, torch.int64, device)
        if self._stream is not None:  # all that was allocated above is filled by the other stream
            self._stream.wait_stream(torch.cuda.current_stream(device))

    def _use_graphs(self, room: GraphRoom, slots: int) -> None:
        model = self.model
        pool = GraphPool(self._stream, room) if self._stream is not None else None
        if pool is not None and model.decode_attention.candidate.capturable:
            self._graphs = DecodeGraphs(self._decode, pool)
        if model.prefill_attention.candidate is TRITON and model.decode_attention.candidate is TRITON:
            most = most_rows(model)
            self._prompts = PromptGraphs(model, self.cache, self._slots, self.prompts, slots, most, pool)
        self.images.use_graphs(room)

    @torch.inference_mode()
    def graph_bytes(self) -> int:
        with self._on_stream():
            decodes = self._graphs.bytes_of_all() if self._graphs is not None else 0
            prompts = self._prompts.bytes_of_all() if self._prompts is not None else 0
        return decodes + prompts + self.images.graph_bytes()

    @torch.inference_mode()
    def launch(self, step: Step, evicted: list[bytes]) -> Launched:
        with self._on_stream():
            self.images.drop(evicted)
            self.images.encode(step.encodings)
            self._slots.enter(step.grown, self.prompts)
            if step.decodes is not None and self._device_lengths:
                return self._launch_decode(step, step.decodes)
            self._slots.new_blocks(step.grown, 0)
            logits = self._logits(step.chunks)
            if logits is None:
                flags = self._flags()
                return Launched(NOTHING_DRAWN, [], self._mark(), flags)
            slots = [sequence.slot for sequence in step.drawing]
            ends = [chunk.start + chunk.length - 1 for chunk in step.sampling]
            where = sent(torch.tensor([slots, ends], dtype=torch.int32), self.model.device)
            tokens = torch.empty(len(slots), dtype=torch.int64, device=self.model.device)
            draw(logits, self._slots.sampler, where[0], where[1], self.drawn, tokens)
            return self._finish(step, slots, logits, tokens)

    def needs_output(self, sequence: Sequence) -> bool:
        params = sequence.request.params
        return counts_output(params) and served_on_device(params) is not None

    @torch.inference_mode()
    def idle(self) -> bool:
        """Capture one more graph."""
        with self._on_stream():
            if self._graphs is not None and self._graphs.capture_next():
                return True
            if self._prompts is not None and self._prompts.capture_next():
                return True
        return self.images.idle()

    def _forward(self, chunks: tuple[Chunk, ...]) -> Tensor:
        if self._prompts is not None:
            hidden = self._prompts.run(chunks, lambda embeddings: self.images.place(embeddings, chunks))
            if hidden is not None:
                ends = torch.tensor(_sampled_rows(chunks), dtype=torch.int64)
                return hidden.index_select(0, sent(ends, hidden.device))
        return super()._forward(chunks)

    def _launch_decode(self, step: Step, decodes: Decodes) -> Launched:
        count = len(decodes.slots)
        size = self._graphs.size_for(count) if self._graphs is not None else None
        rows = size or count
        self._decode.stage(rows, decodes, self._slots.new_blocks(step.grown, rows))
        graphs = self._graphs if size is not None else None
        logits = graphs.replay(rows) if graphs is not None else self._decode.run(rows)
        return self._finish(step, decodes.slots.tolist(), logits, self._decode.tokens[:count])

    def _finish(self, step: Step, slots: list[int], logits: Tensor, tokens: Tensor) -> Launched:
        """Draw again what the device does not serve, and send all tokens to the host."""
        logprobs: list[TokenLogprobs | None] = [None] * len(slots)
        not_served = self._slots.not_served(slots)
        sampling = step.sampling if not_served else []
        for first in range(0, len(not_served), ROWS_DRAWN_AGAIN):
            again = not_served[first : first + ROWS_DRAWN_AGAIN]
            rows, where = sent(
                torch.tensor([again, [slots[row] for row in again]], dtype=torch.int64), self.model.device
            )
            drawn = sample(logits[rows].float(), sample_rows([sampling[row] for row in again]))
            tokens[rows] = drawn.tokens
            self.drawn[where] = embeddable(drawn.tokens)
            for row, logprob in zip(again, drawn.logprobs, strict=True):
                logprobs[row] = logprob
        host = self._host_tokens.next()[: len(slots)]
        host.copy_(tokens, non_blocking=True)
        flags = self._flags()
        return Launched(host, logprobs, self._mark(), flags)

    def _mark(self) -> torch.cuda.Event | None:
        return self._stream.record_event() if self._stream is not None else None

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def make_runner(model: Model, cache: KVCache, options: EngineOptions, graph_bytes: int) -> Runner:
    """The runner for the model's device. On a GPU the last block of `cache` is nobody's."""
    if model.device.type != "cuda":
        return Runner(model, cache, options.max_num_seqs)
    graphs = graph_bytes if options.graphs else None
    return DeviceRunner(model, cache, options.max_num_seqs, options.max_model_len, graphs)


def _sampled_rows(chunks: tuple[Chunk, ...]) -> list[int]:
    """The last row of each chunk that samples."""
    rows, end = [], 0
    for chunk in chunks:
        end += chunk.length
        if chunk.samples:
            rows.append(end - 1)
    return rows
