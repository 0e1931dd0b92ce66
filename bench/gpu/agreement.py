"""Greedy tokens of Upright on a GPU against transformers, token by token, and logits against float32.

    python bench/gpu/agreement.py CONFIG_DIRECTORY [--prompts 16] [--tokens 64] [--json FILE]

A model of the directory's shape gets random weights, in bfloat16, that both load. Upright generates; transformers
then reads what Upright wrote and says at every position which token it would have taken, once in bfloat16 and once in
float32. Where they part, the float32 logits of the two tokens are compared: a gap within the rounding error of
bfloat16 is a near-tie, which no two correct programs need to break alike.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from pathlib import Path

import torch

HEAD_DEVIATION = 0.05  # of the embedding's values: what makes tied logits as wide as a trained model's
PROMPT = 128  # tokens


def make_checkpoint(shape: Path, directory: Path) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(shape)
    with torch.device("cuda"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.get_input_embeddings().weight.data.normal_(0, HEAD_DEVIATION)
    model.save_pretrained(directory)
    for name in ("preprocessor_config.json", "generation_config.json"):
        if (shape / name).exists():
            shutil.copy(shape / name, directory / name)


def generate(directory: Path, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    """What Upright writes after each prompt, as its engine process would: overlapped, under CUDA graphs."""
    from upright.engine.startup import start_engine
    from upright.messages import EngineOptions, Request, SamplingParams

    options = EngineOptions(
        model_path=str(directory), device="cuda", dtype="bfloat16", load_format="auto", max_model_len=2048,
        max_num_seqs=64, max_num_batched_tokens=2048, kv_cache_bytes=2 << 30, block_size=16, max_pixels=None, seed=0,
        overlap=True, graphs=True,
    )  # fmt: skip
    core, _ = start_engine(options, lambda progress: None)
    written: dict[str, list[int]] = {str(index): [] for index in range(len(prompts))}
    for index, prompt in enumerate(prompts):
        params = SamplingParams(seed=0, temperature=0.0, max_tokens=tokens)
        core.submit(Request(id=str(index), prompt=prompt, params=params))
    while core.has_work:
        for output in core.step().each():
            written[output.id] += output.tokens
    core.close()
    return list(written.values())


@torch.inference_mode()
def judge(directory: Path, sequences: list[list[int]], start: int, dtype: torch.dtype) -> torch.Tensor:
    """Logits float32 [sequences, tokens, vocabulary], on the host, of transformers for the tokens from `start` on."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(directory, dtype=dtype).cuda().eval()
    rows = [
        model(input_ids=torch.tensor([sequence], device="cuda")).logits[0, start - 1 : -1].float().cpu()
        for sequence in sequences
    ]
    return torch.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", type=Path)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(0)
    prompts = [[rng.randrange(1000, 150000) for _ in range(PROMPT)] for _ in range(arguments.prompts)]
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        make_checkpoint(arguments.shape, directory)
        torch.cuda.empty_cache()
        written = generate(directory, prompts, arguments.tokens)
        torch.cuda.empty_cache()
        sequences = [prompt + output for prompt, output in zip(prompts, written, strict=True)]
        half = judge(directory, sequences, PROMPT, torch.bfloat16)
        torch.backends.cuda.matmul.allow_tf32 = False
        full = judge(directory, sequences, PROMPT, torch.float32)
    ours = torch.tensor(written)
    error = float((half - full).norm() / full.norm())
    noise = float((half - full).std())  # of one logit in bfloat16
    report = {"positions": ours.numel(), "bfloat16 error of transformers' logits": error, "its deviation": noise}
    for name, logits in (("bfloat16", half), ("float32", full)):
        theirs = logits.argmax(-1)
        gaps = (full.gather(-1, theirs[..., None]) - full.gather(-1, ours[..., None]))[..., 0]
        parted = theirs != ours
        report[name] = {
            "agree": float((~parted).float().mean()),
            "parted": int(parted.sum()),
            "largest gap where parted, in deviations": float(gaps[parted].abs().max() / noise) if parted.any() else 0.0,
        }
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
