"""Drive an engine core as its process does, and ask transformers for the same answers."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow

from upright.engine.core import EngineCore
from upright.engine.device_runner import DeviceRunner
from upright.engine.process import DECODING_POLL_MS
from upright.engine.runner import Runner
from upright.engine.scheduler import SchedulerLimits
from upright.kernels.attention.batch import KVCache
from upright.messages import Image, Request, SamplingParams, TokenLogprobs
from upright.models.image_grid import image_grid
from upright.models.loading import load_model
from upright.models.model import Model
from upright.models.model_config import ModelConfig, read_model_config

IMAGE_TOKEN = 151655


@dataclass(frozen=True)
class Setting:
    """How large the engine is; the smaller, the more it has to cut, wait and preempt."""

    max_model_len: int = 2048
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 4096
    blocks: int = 1024
    block_size: int = 16
    attention: str | None = None
    overlap: bool = False
    encode_ahead: bool = False
    on_device: bool = False  # as on a GPU, where that is not what the model is on


@lru_cache(maxsize=8)
def loaded(directory: Path, attention: str | None) -> Model:
    config = read_model_config(directory)
    return load_model(directory, config, torch.float32, torch.device("cpu"), attention=attention)


def make_core(directory: Path, setting: Setting) -> EngineCore:
    return make_core_of(loaded(directory, setting.attention), setting)


def make_core_of(model: Model, setting: Setting) -> EngineCore:
    decoder = model.config.decoder
    cache = KVCache.allocate(
        decoder.layers, setting.blocks + 1, setting.block_size, decoder.kv_heads, decoder.head_size, model.dtype,
        model.device,
    )  # fmt: skip
    cache.data.fill_(torch.nan)  # a slot that nobody wrote must never be read
    limits = SchedulerLimits(
        setting.max_model_len, setting.max_num_seqs, setting.max_num_batched_tokens, setting.max_num_batched_tokens,
        setting.encode_ahead,
    )  # fmt: skip
    runner: Runner
    if setting.on_device or model.device.type == "cuda":
        runner = DeviceRunner(model, cache, setting.max_num_seqs, setting.max_model_len, most_graph_bytes=1 << 30)
    else:
        runner = Runner(model, KVCache(cache.data[:, :-1].contiguous()), setting.max_num_seqs)
    return EngineCore(runner, limits, encoder_cache_tokens=4096, overlap=setting.overlap)


@dataclass
class Answer:
    tokens: list[int]
    logprobs: list[TokenLogprobs]
    finish: str | None = None
    cached_tokens: int | None = None


def run(core: EngineCore, requests: Iterable[Request], most_steps: int = 20_000) -> dict[str, Answer]:
    """Answers by request id; the cache's and the scheduler's invariants are checked after every step."""
    answers: dict[str, Answer] = {}
    for request in requests:
        answers[request.id] = Answer([], [])
        core.submit(request)
    for _ in range(most_steps):
        if not core.has_work:
            return answers
        if core.only_decoding_images:
            time.sleep(DECODING_POLL_MS / 1000)
        for output in core.step().each():
            answer = answers[output.id]
            assert answer.finish is None, "output after the end"
            assert output.fault is None, output.fault
            answer.tokens += output.tokens
            answer.logprobs += output.logprobs
            answer.finish = output.finish
            if output.cached_tokens is not None:
                answer.cached_tokens = output.cached_tokens
        core.scheduler.check()
    raise AssertionError(f"not finished after {most_steps} steps")


def greedy(request_id: str, prompt: list[int], max_tokens: int = 64, **more: Any) -> Request:
    params = SamplingParams(seed=0, temperature=0.0, max_tokens=max_tokens, **more)
    return Request(id=request_id, prompt=prompt, params=params)


@dataclass(frozen=True)
class Picture:
    """An image inside a prompt, as pixels."""

    pixels: bytes  # PNG

    @classmethod
    def random(cls, seed: int, width: int, height: int) -> Picture:
        rng = np.random.default_rng(seed)
        small = Pillow.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        png = io.BytesIO()
        small.resize((width, height), Pillow.Resampling.BICUBIC).save(png, "PNG")
        return cls(png.getvalue())


def with_images(directory: Path, request: Request, parts: Sequence[list[int] | Picture]) -> Request:
    """`request` with a prompt made of token lists and pictures, in order."""
    return with_images_of(read_model_config(directory), request, parts)


def with_images_of(
    config: ModelConfig, request: Request, parts: Sequence[list[int] | Picture], image_token: int = IMAGE_TOKEN
) -> Request:
    """The same for a model's configuration. Another `image_token` is for vocabularies smaller than Qwen's."""
    assert config.vision is not None and config.image is not None
    prompt: list[int] = []
    images: list[Image] = []
    for part in parts:
        if isinstance(part, Picture):
            with Pillow.open(io.BytesIO(part.pixels)) as opened:
                grid = image_grid(opened.height, opened.width, config.vision, config.image)
            prompt.append(image_token - 3)  # where Qwen's vocabulary has <|vision_start|>, and -2 <|vision_end|>
            key = hash(part.pixels).to_bytes(16, "little", signed=True)
            images.append(Image(part.pixels, key, len(prompt), grid.grid_height, grid.grid_width, grid.tokens))
            prompt += [image_token] * grid.tokens + [image_token - 2]
        else:
            prompt += part
    return Request(id=request.id, prompt=prompt, params=request.params, images=tuple(images))


class Reference:
    """transformers, greedy, one request at a time."""

    def __init__(self, directory: Path, architecture: str) -> None:
        import transformers

        kind = {
            "qwen2": "Qwen2ForCausalLM",
            "llama": "LlamaForCausalLM",
            "qwen2_vl": "Qwen2VLForConditionalGeneration",
            "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
        }[architecture]
        self.model = getattr(transformers, kind).from_pretrained(directory, dtype=torch.float32).eval()
        self.directory = directory
        self._answers: dict[tuple[Any, ...], tuple[list[int], torch.Tensor]] = {}

    def generate(self, request: Request) -> list[int]:
        return self._run(request)[0]

    def logits(self, request: Request) -> torch.Tensor:
        """float32 [output tokens, vocabulary]."""
        return self._run(request)[1]

    def _run(self, request: Request) -> tuple[list[int], torch.Tensor]:
        key = (tuple(request.prompt), tuple(image.key for image in request.images), request.params.max_tokens)
        if key not in self._answers:
            inputs: dict[str, Any] = {"input_ids": torch.tensor([request.prompt])}
            if request.images:
                inputs |= self._image_inputs(request)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            with torch.inference_mode():
                result = self.model.generate(
                    **inputs, max_new_tokens=request.params.max_tokens, min_new_tokens=request.params.max_tokens,
                    do_sample=False, eos_token_id=None, pad_token_id=0, return_dict_in_generate=True,
                    output_logits=True, repetition_penalty=1.0,
                )  # fmt: skip
            tokens = result.sequences[0, len(request.prompt) :].tolist()
            self._answers[key] = (tokens, torch.cat(result.logits).float())
        return self._answers[key]

    def _image_inputs(self, request: Request) -> dict[str, Any]:
        from transformers import AutoImageProcessor

        processor = AutoImageProcessor.from_pretrained(self.directory)
        pictures = [Pillow.open(io.BytesIO(image.content)).convert("RGB") for image in request.images]
        made = processor(images=pictures, return_tensors="pt")
        types = torch.tensor([[int(token == IMAGE_TOKEN) for token in request.prompt]])
        return {
            "pixel_values": made["pixel_values"],
            "image_grid_thw": made["image_grid_thw"],
            "mm_token_type_ids": types,
        }


def random_prompt(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed).integers(100, 150_000, length).tolist()


def renamed(request: Request, request_id: str) -> Request:
    return Request(id=request_id, prompt=request.prompt, params=request.params, images=request.images)
