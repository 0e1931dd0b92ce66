"""The decoder against transformers: logits of whole prompts through the paged cache, in chunks and batches."""

from __future__ import annotations

import random

import checkpoints
import pytest
import torch

from upright.kernels.attention.batch import KVCache, make_batch
from upright.kernels.attention.last_rows import last_rows
from upright.models.loading import load_model
from upright.models.model import Model
from upright.models.model_config import read_model_config
from upright.models.mrope import ImageSpan, prompt_positions

BLOCK_SIZE = 5
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module", params=checkpoints.ARCHITECTURES)
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def theirs(architecture, tiny_checkpoint):
    import transformers

    directory = tiny_checkpoint(architecture)
    kind = read_model_config(directory).architecture
    return getattr(transformers, kind).from_pretrained(directory, dtype=torch.float32).eval()


@pytest.fixture(scope="module", params=["sdpa", "reference"])
def ours(request, architecture, tiny_checkpoint) -> Model:
    directory = tiny_checkpoint(architecture)
    config = read_model_config(directory)
    return load_model(directory, config, torch.float32, torch.device("cpu"), attention=request.param)


def scattered_tables(lengths: list[int], seed: int) -> tuple[list[list[int]], int]:
    """Block tables in random order with unused blocks between, and how many blocks that takes."""
    needed = [-(-length // BLOCK_SIZE) for length in lengths]
    blocks = list(range(sum(needed) + 3))
    random.Random(seed).shuffle(blocks)
    return [[blocks.pop() for _ in range(count)] for count in needed], sum(needed) + 3


def run(model: Model, prompts: list[torch.Tensor], positions: list[torch.Tensor], chunk: int) -> list[torch.Tensor]:
    """Logits [length, vocabulary] of each prompt, computed `chunk` tokens of every prompt at a time."""
    config = model.config.decoder
    tables, blocks = scattered_tables([len(prompt) for prompt in prompts], seed=chunk)
    shape = (config.layers, blocks, BLOCK_SIZE, 2, config.kv_heads, config.head_size)
    kv = KVCache(torch.full(shape, float("nan")))  # what nobody wrote must not be read
    done = [0] * len(prompts)
    states: list[list[torch.Tensor]] = [[] for _ in prompts]
    while any(count < len(prompt) for count, prompt in zip(done, prompts, strict=True)):
        # each sequence at its own pace, so that decode-like and prefill-like rows meet in one step
        wanted = [max(1, chunk - 3 * i) for i in range(len(prompts))]
        new = [min(w, len(p) - d) for w, p, d in zip(wanted, prompts, done, strict=True)]
        on = [i for i, count in enumerate(new) if count]
        batch = make_batch([tables[i] for i in on], [new[i] for i in on], [done[i] + new[i] for i in on], BLOCK_SIZE)
        rows = [slice(done[i], done[i] + new[i]) for i in on]
        ids = torch.cat([prompts[i][r] for i, r in zip(on, rows, strict=True)])
        where = torch.cat([positions[i][:, r] for i, r in zip(on, rows, strict=True)], dim=1)
        hidden = model.decoder.forward(model.decoder.embed(ids), where, kv, batch)
        for i, part in zip(on, hidden.split([new[i] for i in on]), strict=True):
            states[i].append(part)
            done[i] += len(part)
    return [model.decoder.logits(torch.cat(parts)) for parts in states]


@pytest.mark.parametrize("chunk", [100, 7, 1])
@torch.inference_mode()
def test_logits_equal_those_of_transformers(ours, theirs, chunk):
    generator = torch.Generator().manual_seed(chunk)
    prompts = [torch.randint(0, 151643, (length,), generator=generator) for length in (23, 9, 31)]
    answers = run(ours, prompts, [prompt_positions(len(p))[0] for p in prompts], chunk)
    for prompt, answer in zip(prompts, answers, strict=True):
        torch.testing.assert_close(answer, theirs(prompt[None]).logits[0], **TOLERANCE)


@torch.inference_mode()
def test_rows_on_three_axes_equal_those_of_transformers(ours, theirs):
    if ours.config.vision is None:
        pytest.skip("text only")
    prompt = torch.randint(0, 151643, (40,), generator=torch.Generator().manual_seed(5))
    positions, _ = prompt_positions(40, [ImageSpan(4, 2, 5), ImageSpan(16, 4, 3)])
    embeddings = theirs.get_input_embeddings()(prompt[None])
    expected = theirs.lm_head(
        theirs.model.language_model(inputs_embeds=embeddings, position_ids=positions[:, None]).last_hidden_state
    )
    torch.testing.assert_close(run(ours, [prompt], [positions], 11)[0], expected[0], **TOLERANCE)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0},
        {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 64},
    ],
    ids=["linear", "llama3"],
)  # fmt: skip
@torch.inference_mode()
def test_llama_with_scaled_rope_biases_and_a_head_size_of_its_own(tmp_path, rope):
    import transformers

    config = transformers.LlamaConfig(
        **checkpoints.TEXT | {"vocab_size": 300, "tie_word_embeddings": False}, rope_parameters=rope, head_dim=24,
        attention_bias=True, mlp_bias=True,
    )  # fmt: skip
    theirs = checkpoints.transformers_model(config)
    theirs.save_pretrained(tmp_path, max_shard_size="300KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ours = load_model(tmp_path, read_model_config(tmp_path), torch.float32, torch.device("cpu"))
    prompt = torch.randint(0, 300, (200,), generator=torch.Generator().manual_seed(1))
    answer = run(ours, [prompt], [prompt_positions(200)[0]], 64)[0]
    torch.testing.assert_close(answer, theirs(prompt[None]).logits[0], **TOLERANCE)


@torch.inference_mode()
def test_bfloat16_stays_near_float32(tiny_checkpoint):
    directory = tiny_checkpoint("qwen2")
    config = read_model_config(directory)
    prompt = torch.arange(1000, 1040)
    answers = []
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(directory, config, dtype, torch.device("cpu"))
        kv = KVCache.allocate(3, 4, 16, 2, 32, dtype, "cpu")
        batch = make_batch([[2, 0, 3]], [40], [40], 16)
        hidden = model.decoder.forward(model.decoder.embed(prompt), prompt_positions(40)[0], kv, batch)
        answers.append(model.decoder.logits(hidden))
        assert answers[-1].dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(*answers, dim=-1).min() > 0.99


@pytest.mark.parametrize("sampling", [[0, 2], [1], [], [0, 1, 2]], ids=str)
@torch.inference_mode()
def test_only_the_wanted_rows_are_finished(ours, sampling, monkeypatch) -> None:
    model = ours
    monkeypatch.setattr(model.decoder, "native", None)  # which works out all rows
    config, new, contexts = model.config.decoder, [9, 5, 1], [9, 12, 7]
    tables, blocks = scattered_tables(contexts, seed=0)
    before = torch.randn(config.layers, blocks, BLOCK_SIZE, 2, config.kv_heads, config.head_size)
    ids = torch.arange(sum(new))
    positions = torch.cat([torch.arange(c - n, c) for n, c in zip(new, contexts, strict=True)]).expand(3, -1)
    found, caches = [], []
    for chosen in (None, sampling):
        kv = KVCache(before.clone())
        batch = make_batch(tables, new, contexts, BLOCK_SIZE)
        wanted = None if chosen is None else last_rows(batch, chosen)
        found.append(model.decoder.forward(model.decoder.embed(ids), positions, kv, batch, wanted))
        caches.append(kv.data)
    torch.testing.assert_close(found[1], found[0][[[8, 13, 14][i] for i in sampling]], atol=1e-5, rtol=1e-5)
    assert torch.equal(caches[0], caches[1]), "keys and values of all rows are stored on every layer"
