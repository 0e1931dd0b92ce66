"""The reader's files: weights in float16, in one file or in parts that travel more easily, and what goes with them.

python -m training.checkpoint join PARTS_DIRECTORY OUT_DIRECTORY --tokenizer DIRECTORY
python -m training.checkpoint blend READER OTHER_READER OUT_DIRECTORY --share 0.2
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from training.model import Reader
from training.shape import READER, Shape, config, processor

PART_BYTES = 31 * 2**19


def weights_of(model: Reader) -> dict[str, Tensor]:
    """By their names in a checkpoint."""
    return {name: part.detach() for name, part in model.named_parameters()}


def save_parts(weights: dict[str, Tensor], directory: Path, name: str) -> None:
    """As `name-0.safetensors` and so on, of at most PART_BYTES each."""
    directory.mkdir(parents=True, exist_ok=True)
    parts: list[dict[str, Tensor]] = [{}]
    room = PART_BYTES
    for key, weight in weights.items():
        half = weight.to("cpu", torch.float16).contiguous()
        if half.nbytes > room and parts[-1]:
            parts.append({})
            room = PART_BYTES
        parts[-1][key] = half
        room -= half.nbytes
    for index, part in enumerate(parts):
        save_file(part, directory / f"{name}-{index}.safetensors", {"format": "pt"})


def load_parts(directory: Path, name: str) -> dict[str, Tensor]:
    """Raises: FileNotFoundError."""
    files = sorted(directory.glob(f"{name}-*.safetensors"))
    if not files:
        raise FileNotFoundError(f"there are no files {name}-*.safetensors in {directory}")
    return {key: weight for file in files for key, weight in load_file(file).items()}


def load_start(directory: Path) -> dict[str, Tensor]:
    """What training goes on from: a stage's last weights, or a model that was finished. Raises: FileNotFoundError."""
    whole = directory / "model.safetensors"
    return load_file(whole) if whole.exists() else load_parts(directory, "last")


def save(weights: dict[str, Tensor], shape: Shape, tokenizer: Path, out: Path) -> None:
    """A directory that Upright, transformers and vLLM load."""
    out.mkdir(parents=True, exist_ok=True)
    halves = {key: weight.to("cpu", torch.float16).contiguous() for key, weight in weights.items()}
    save_file(halves, out / "model.safetensors", {"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # it is made for its owner alone, and would be installed so
    found = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    ids = {text: number for text, number in found.get_vocab(with_added_tokens=True).items() if text.startswith("<|")}
    for name, content in (
        ("config.json", config(shape, ids)),
        ("preprocessor_config.json", processor(shape)),
        ("generation_config.json", {"eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]], "temperature": 0.0}),
    ):
        (out / name).write_text(json.dumps(content, indent=2) + "\n")
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if tokenizer.resolve() != out.resolve():
            shutil.copy(tokenizer / file, out / file)


def blended(one: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """All weights on the way from one model to another that was trained on from it, so far as `share` says."""
    return {name: (1 - share) * weight.float() + share * other[name].float() for name, weight in one.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    join = commands.add_parser("join", help="make a reader of what a stage has left")
    join.add_argument("parts", type=Path)
    join.add_argument("out", type=Path)
    join.add_argument("--tokenizer", type=Path, required=True)
    join.add_argument("--name", default="mean", help="mean (of the last steps) or last")
    blend = commands.add_parser("blend", help="a reader between one and another that was trained on from it")
    blend.add_argument("one", type=Path)
    blend.add_argument("other", type=Path)
    blend.add_argument("out", type=Path)
    blend.add_argument("--share", type=float, required=True, help="of the other, from 0 to 1")
    options = parser.parse_args()
    if options.command == "join":
        save(load_parts(options.parts, options.name), READER, options.tokenizer, options.out)
    else:
        weights = blended(load_start(options.one), load_start(options.other), options.share)
        save(weights, READER, options.one, options.out)


if __name__ == "__main__":
    main()
