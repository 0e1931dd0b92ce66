"""Steps before the first client's: the largest, to see what they take, and one of each kind, to have it compiled.

Compilers and libraries do much of their work when a kernel is first used. All of that happens here, so that no request
waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from upright.engine.core import EngineCore
from upright.engine.device_runner import make_runner
from upright.engine.image_encoder import PASS_PATCHES
from upright.engine.pace import Pace
from upright.engine.prompt_graphs import LARGEST
from upright.engine.scheduler import SchedulerLimits
from upright.kernels.attention.batch import KVCache
from upright.messages import EngineOptions, Request, SamplingParams
from upright.models.model import Model
from upright.plan.memory import largest_image_tokens

STEPS = 3  # tokens that a warm-up request draws: a first, one in a step of decodes, one that follows upon that
_MANY = 128  # sequences for which kernels cut their work as for any larger number
PIECE_PATCHES = 16_384  # of one image in the largest pass through the tower; see `_largest_pass`
# Flat enough that no cut-off ends early, and everything that a request can ask of the sampler
_EVERYTHING = SamplingParams(
    seed=0, max_tokens=STEPS, temperature=100.0, top_p=0.99, min_p=1e-6, repetition_penalty=1.1, presence_penalty=0.1,
    frequency_penalty=0.1, no_repeat_ngram_size=2, min_tokens=2, end_token_ids=(0,), logit_bias={0: 1.0}, logprobs=1,
)  # fmt: skip
_KINDS = (
    SamplingParams(seed=0, max_tokens=STEPS, temperature=0.0),
    SamplingParams(seed=0, max_tokens=STEPS, temperature=1.0),
    SamplingParams(seed=0, max_tokens=STEPS, temperature=1.0, top_k=20, top_p=0.9),
    SamplingParams(seed=0, max_tokens=STEPS, temperature=0.0, repetition_penalty=1.1, logprobs=2),
    _EVERYTHING,
)


def warm_up(core: EngineCore) -> None:
    """Run short requests, so that the first client does not pay for lazy set-up in torch and its libraries.

    On a GPU there is one of each kind, together and alone, with prompts of lengths that compilers tell apart. The last
    one teaches the pace, without the set-up: steps of one token, and one large enough that the first real prompt is
    not expected to be as slow, token by token, as these.
    """
    model, limits = core.runner.model, core.scheduler.limits
    longest = max(1, limits.max_model_len - STEPS + 1)
    if model.device.type == "cuda":
        kinds = _KINDS[: limits.max_num_seqs]
        _run(core, (_request(f"kind-{i}", 2 + i, min(15 + i, longest), kind) for i, kind in enumerate(kinds)))
        for index, kind in enumerate(_KINDS):
            _run(core, [_request(f"alone-{index}", 10 + index, min(16 * (1 + index), longest), kind)])
        for count in (2, _MANY):
            for length in (2, LARGEST + 1):  # the second is more than a CUDA graph holds
                _run_mixed(core, min(count, limits.max_num_seqs - 1), min(length, longest))
        core.runner.images.warm_up()
    for token, length in ((0, min(8, longest)), (1, min(64, longest))):
        core.pace = Pace()
        _run(core, [_request("warm-up", token, length, _KINDS[0])])


def trial_cache(model: Model, options: EngineOptions) -> KVCache:
    """A KV cache no larger than the largest steps need, and a block that belongs to nobody."""
    sequences, size, decoder = options.max_num_seqs, options.block_size, model.config.decoder
    long, short = _longest_chunk(options) + STEPS, _share(options) + STEPS
    blocks = max(_blocks(long, size), sequences * _blocks(short, size)) + 1
    return KVCache.allocate(
        decoder.layers, blocks, size, decoder.kv_heads, decoder.head_size, model.dtype, model.device
    )


def run_largest_steps(model: Model, options: EngineOptions, cache: KVCache) -> EngineCore:
    """The longest chunk of one prompt, a full budget of a full batch that draws in every row, the largest images."""
    tokens = options.max_num_batched_tokens
    longest = max(_longest_chunk(options), _share(options)) + STEPS
    limits = SchedulerLimits(longest, options.max_num_seqs, tokens, tokens)
    core = EngineCore(make_runner(model, cache, options, 0), limits, encoder_cache_tokens=0)
    _run(core, [_request("long", 0, _longest_chunk(options), _KINDS[0])])
    token_ids = model.config.decoder.vocab_size
    _run(core, (_request(f"row-{row}", 1 + row % (token_ids - 1), _share(options), _EVERYTHING)
                for row in range(options.max_num_seqs)))  # fmt: skip
    if model.vision is not None and model.config.vision is not None:
        merge = model.config.vision.merge_size
        tokens = max(largest_image_tokens(model.config, options.max_pixels), PASS_PATCHES // merge**2)
        whole = model.vision_attention is not None and model.vision_attention.candidate.name == "reference"
        _pass_through_tower(model, _largest_pass(tokens, merge, tokens * merge**2 if whole else PIECE_PATCHES))
    return core


def _largest_pass(tokens: int, merge: int, piece: int) -> list[tuple[int, int]]:
    """Grids of images with `tokens` tokens together at least, of about `piece` patches each.

    A tower's memory grows with the patches of the pass, however they are shared out among images: only the reference
    attention makes a matrix of all pairs. Its time does grow with the square, and start-up has better uses for seconds.
    """
    each = max(1, piece // merge**2)
    sizes = [each] * (tokens // each) + ([tokens % each] if tokens % each else [])
    grids = []
    for size in sizes:
        rows = math.isqrt(size)
        grids.append((rows * merge, -(-size // rows) * merge))
    return grids


def _pass_through_tower(model: Model, grids: list[tuple[int, int]]) -> None:
    vision = model.config.vision
    assert model.vision is not None and vision is not None
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    rows = sum(height * width for height, width in grids)
    with torch.inference_mode():
        model.vision.encode(torch.zeros(rows, values, device=model.device), grids)


def _longest_chunk(options: EngineOptions) -> int:
    return max(1, min(options.max_num_batched_tokens, options.max_model_len - STEPS))


def _share(options: EngineOptions) -> int:
    """Tokens of each prompt when all sequences together fill a step."""
    return max(1, min(options.max_num_batched_tokens // options.max_num_seqs, options.max_model_len - STEPS))


def _blocks(tokens: int, size: int) -> int:
    return -(-tokens // size)


def _request(name: str, token: int, length: int, params: SamplingParams) -> Request:
    return Request(id=name, prompt=[token] * length, params=params)


def _run_mixed(core: EngineCore, count: int, length: int) -> None:
    """`count` sequences that decode, and prompts of `length` tokens that join them, for which there are other kernels
    than for either alone.
    """
    for index in range(count):
        core.submit(_request(f"row-{index}", index, 2, _KINDS[0]))
    core.rehearses = True
    for index in range(STEPS):
        core.step()
        core.submit(_request(f"joins-{index}", count + index, length, _KINDS[0]))
    _run(core, [])


def _run(core: EngineCore, requests: Iterable[Request]) -> None:
    for request in requests:
        core.submit(request)
    core.rehearses = True
    while core.has_work:
        core.step()
    core.rehearses = False
