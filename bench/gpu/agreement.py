"""Greedy tokens of Upright on a GPU against transformers, token by token, and logits against float32.

    python bench/gpu/agreement.py CONFIG_DIRECTORY [--prompts 16] [--tokens 64] [--dtype float16] [--portable]

A model of the directory's shape gets random weights that both load. Upright generates in bfloat16, or as --dtype says;
transformers then reads what Upright wrote and says at every position which token it would have taken, once in the same
type and once in float32. Where they part, the float32 logits of the two tokens are compared: a gap within the rounding
error of the type is a near-tie, which no two correct programs need to break alike. --portable takes the kernels that
cards before sm80 have.

Upright's own logits are taken too, of the prompts' last tokens and of every step of decodes after them, and stand
beside those of transformers in the same type: how far each is from float32. The exit code is 1 if a gap is no near-tie,
or if Upright is further from float32 than transformers by more than a fifth.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from upright.models.model import Model

HEAD_DEVIATION = 0.05  # of the embedding's values: what makes tied logits as wide as a trained model's
PROMPT = 128  # tokens
BLOCK = 16
NEAR = 6.0  # deviations of a logit in 16 bits between two logits in float32 that it may confuse
FURTHER = 1.2  # Upright's error of transformers'


def make_checkpoint(shape: Path, directory: Path, device: str) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(shape)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.get_input_embeddings().weight.data.normal_(0, HEAD_DEVIATION)
    model.get_output_embeddings().weight.data.normal_(0, HEAD_DEVIATION)  # the same tensor, or one of its own
    model.save_pretrained(directory)
    for name in ("preprocessor_config.json", "generation_config.json"):
        if (shape / name).exists():
            shutil.copy(shape / name, directory / name)


def generate(
    directory: Path, prompts: list[list[int]], tokens: int, dtype: str, portable: bool, device: str
) -> tuple[list[list[int]], torch.Tensor]:
    """What Upright writes after each prompt, as its engine process would: overlapped, under CUDA graphs; its logits."""
    from upright.engine.startup import start_engine
    from upright.messages import EngineOptions, Request, SamplingParams

    options = EngineOptions(
        model_path=str(directory), device=device, dtype=dtype, load_format="auto", max_model_len=2048, max_num_seqs=64,
        max_num_batched_tokens=2048, kv_cache_bytes=2 << 30, block_size=BLOCK, max_pixels=None, seed=0, overlap=True,
        graphs=device == "cuda", portable=portable,
    )  # fmt: skip
    core, ready = start_engine(options, lambda progress: None)
    print("attention: " + ", ".join(f"{choice.use} {choice.name}" for choice in ready.attention))
    written: dict[str, list[int]] = {str(index): [] for index in range(len(prompts))}
    for index, prompt in enumerate(prompts):
        params = SamplingParams(seed=0, temperature=0.0, max_tokens=tokens)
        core.submit(Request(id=str(index), prompt=prompt, params=params))
    while core.has_work:
        for output in core.step().each():
            written[output.id] += output.tokens
    logits = logits_of(core.runner.model, prompts, list(written.values()))
    core.close()
    return list(written.values()), logits


@torch.inference_mode()
def logits_of(model: Model, prompts: list[list[int]], written: list[list[int]]) -> torch.Tensor:
    """Upright's logits float32 [sequences, tokens, vocabulary], on the host: of a step of all prompts, then of decodes
    that bring the tokens that were written.
    """
    from upright.kernels.attention.batch import KVCache, make_batch

    decoder, count, tokens = model.config.decoder, len(prompts), len(written[0])
    each = -(-(PROMPT + tokens) // BLOCK)
    cache = KVCache.allocate(
        decoder.layers, count * each, BLOCK, decoder.kv_heads, decoder.head_size, model.dtype, model.device
    )
    tables = [list(range(sequence * each, (sequence + 1) * each)) for sequence in range(count)]
    found = []
    for step in range(tokens):
        new = PROMPT if step == 0 else 1
        ids = prompts if step == 0 else [[tokens_of[step - 1]] for tokens_of in written]
        end = PROMPT + step
        positions = torch.arange(end - new, end, device=model.device).repeat(count).expand(3, -1)
        batch = make_batch(tables, [new] * count, [end] * count, BLOCK, model.device)
        hidden = model.decoder.embed(torch.tensor(ids, device=model.device).flatten())
        last = model.decoder.forward(hidden, positions, cache, batch).view(count, new, -1)[:, -1]
        found.append(model.decoder.logits(last.contiguous()).float().cpu())
    return torch.stack(found, dim=1)


@torch.inference_mode()
def judge(directory: Path, sequences: list[list[int]], start: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """Logits float32 [sequences, tokens, vocabulary], on the host, of transformers for the tokens from `start` on."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(directory, dtype=dtype).to(device).eval()
    rows = [
        model(input_ids=torch.tensor([sequence], device=device)).logits[0, start - 1 : -1].float().cpu()
        for sequence in sequences
    ]
    return torch.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", type=Path)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--portable", action="store_true")
    parser.add_argument("--device", default="cuda", help="cpu tries this script itself, with a small model")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device, dtype = arguments.device, arguments.dtype
    rng = random.Random(0)
    prompts = [[rng.randrange(1000, 150000) for _ in range(PROMPT)] for _ in range(arguments.prompts)]
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        make_checkpoint(arguments.shape, directory, device)
        release()
        written, own = generate(directory, prompts, arguments.tokens, dtype, arguments.portable, device)
        release()
        sequences = [prompt + output for prompt, output in zip(prompts, written, strict=True)]
        half = judge(directory, sequences, PROMPT, getattr(torch, dtype), device)
        release()
        torch.backends.cuda.matmul.allow_tf32 = False
        full = judge(directory, sequences, PROMPT, torch.float32, device)
    ours = torch.tensor(written)
    noise = float((half - full).std())  # of one logit in 16 bits
    report: dict[str, Any] = {
        "positions": ours.numel(),
        f"error of transformers' logits in {dtype}": error_of(half, full),
        "its deviation": noise,
        "error of Upright's logits": error_of(own, full),
        "Upright draws what these say": float((own.argmax(-1) == ours).float().mean()),
    }
    for name, logits in ((dtype, half), ("float32", full)):
        theirs = logits.argmax(-1)
        gaps = (full.gather(-1, theirs[..., None]) - full.gather(-1, ours[..., None]))[..., 0]
        parted = theirs != ours
        report[name] = {
            "agree": float((~parted).float().mean()),
            "parted": int(parted.sum()),
            "largest gap where parted, in deviations": float(gaps[parted].abs().max() / noise) if parted.any() else 0.0,
        }
    wrong = [
        f"a gap of more than {NEAR} deviations is no near-tie ({name})"
        for name in (dtype, "float32")
        if report[name]["largest gap where parted, in deviations"] > NEAR
    ]
    if error_of(own, full) > FURTHER * error_of(half, full):
        wrong.append("Upright is further from float32 than rounding explains")
    report["wrong"] = wrong
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(report))
    sys.exit(1 if wrong else 0)


def error_of(logits: torch.Tensor, full: torch.Tensor) -> float:
    """Length of the difference, as a share of what is right."""
    return float((logits - full).norm() / full.norm())


def release() -> None:
    """Give back the memory of a model that nobody holds any more; some are held by circles until they are collected."""
    gc.collect()
    torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
