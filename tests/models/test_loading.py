"""Checkpoints in every layout, and what is wrong with broken ones."""

from __future__ import annotations

import errno
import json
import logging
import os

import checkpoints
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from upright.models.loading import load_model
from upright.models.model_config import read_model_config
from upright.models.weight_files import WeightsError, weight_files

CPU = torch.device("cpu")


@pytest.fixture
def small(tmp_path):
    """A llama checkpoint of a few kilobytes to break, with an output head of its own."""
    import transformers

    config = transformers.LlamaConfig(**checkpoints.TEXT | {"vocab_size": 64, "tie_word_embeddings": False})
    checkpoints.transformers_model(config).save_pretrained(tmp_path)
    return tmp_path


def load(directory, **options):
    return load_model(directory, read_model_config(directory), torch.float32, CPU, **options)


def rewrite(directory, change):
    file = directory / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
def test_flat_and_nested_names_fill_the_same_weights(tmp_path, architecture, tiny_checkpoint):
    source = tiny_checkpoint(architecture)
    tensors = load_file(source / "model.safetensors")
    renamed = {}
    for name, tensor in tensors.items():
        flat = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        renamed[flat if flat != name else name.replace("model.", "model.language_model.")] = tensor
    renamed["lm_head.weight"] = torch.zeros(1)  # some files hold a tied head all the same
    renamed["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    save_file(renamed, tmp_path / "model.safetensors")
    config = read_model_config(source)
    first, second = (load_model(d, config, torch.float32, CPU) for d in (source, tmp_path))
    for ours, theirs in ((first.decoder, second.decoder), (first.vision, second.vision)):
        if ours is not None:
            others = theirs.parameters()
            assert all(torch.equal(part, others[name]) for name, part in ours.parameters().items())
    assert first.weight_bytes == second.weight_bytes == sum(tensor.nbytes for tensor in tensors.values())


def test_progress_reaches_the_total(small):
    seen = []
    load(small, progress=lambda done, total: seen.append((done, total)))
    size = (small / "model.safetensors").stat().st_size
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)


def test_weights_are_cast(small):
    model = load_model(small, read_model_config(small), torch.bfloat16, CPU)
    assert {part.dtype for part in model.decoder.parameters().values()} == {torch.bfloat16}


def test_no_weights(small):
    (small / "model.safetensors").rename(small / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"no weights .* only pytorch_model\.bin; convert"):
        load(small)


def test_a_missing_shard_is_named(small):
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (small / "model.safetensors").rename(small / shards["a"])
    (small / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(WeightsError, match=r"lacks 1 of 2 weight files: model-00002-of-00002\.safetensors"):
        load(small)


def test_a_broken_index(small):
    (small / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(WeightsError, match=r"index\.json cannot be read"):
        load(small)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda whole: whole[:-1000], r"cut off: it has {left:,} bytes of {whole:,}; download it again"),
        (lambda whole: whole + b"more", r"{left:,} bytes, and its header tells of {whole:,}"),
        (lambda whole: whole[:100], "cut off: it has 100 bytes, and its header alone"),
        (lambda whole: whole[:5], "cut off: it has 5 bytes"),
        (lambda whole: b"", "cut off: it has 0 bytes"),
        (lambda whole: whole[:9] + b"!" + whole[10:], "header that cannot be read"),
        (lambda whole: b"<html><body>Not found", "no safetensors file"),
        (lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:ab", "git-lfs.*run `git lfs pull`"),
    ],
)
def test_a_file_that_is_not_whole(small, damage, words):
    file = small / "model.safetensors"
    whole = file.read_bytes()
    assert weight_files(small) == [file]
    file.write_bytes(damage(whole))
    told = words.format(left=len(damage(whole)), whole=len(whole))
    with pytest.raises(WeightsError, match=rf"model\.safetensors .*{told}"):
        weight_files(small)
    with pytest.raises(WeightsError):
        load(small)


@pytest.mark.parametrize("error", [OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), SafetensorError(
    "Error while deserializing: Cannot allocate memory (os error 12)")])  # fmt: skip
def test_a_lack_of_memory_is_not_blamed_on_the_file(small, monkeypatch, error):
    def fail(*given, **more):
        raise error

    monkeypatch.setattr("upright.models.loading.safe_open", fail)
    with pytest.raises(MemoryError):
        load(small)


def test_native_layers_can_be_turned_off(small):
    model = load(small, native=False)
    assert model.decoder.native is None
    assert model.native_declined == "turned off"


def test_a_wrong_shape_is_named_with_both(small):
    rewrite(small, lambda tensors: tensors.update({"model.norm.weight": torch.zeros(7)}))
    with pytest.raises(WeightsError, match=r"model\.norm\.weight .* shape \[7\], but config\.json asks for \[128\]"):
        load(small)


def test_missing_tensors_are_named(small):
    rewrite(small, lambda tensors: (tensors.pop("model.layers.1.mlp.up_proj.weight"), tensors.pop("lm_head.weight")))
    with pytest.raises(WeightsError, match=r"lack 2 of \d+ tensors: layers\.1\.mlp\.up_proj\.weight, lm_head\.weight"):
        load(small)


def test_integer_weights_are_refused(small):
    rewrite(small, lambda t: t.update({"model.norm.weight": torch.zeros(128, dtype=torch.int8)}))
    with pytest.raises(WeightsError, match=r"torch\.int8"):
        load(small)


def test_leftovers_are_told_at_debug(small, caplog):
    rewrite(small, lambda tensors: tensors.update({"mystery.weight": torch.zeros(2)}))
    with caplog.at_level(logging.DEBUG, logger="upright"):
        load(small)
    assert "mystery.weight" in caplog.text


def test_dummy_weights_follow_the_seed_and_read_no_file(tiny_checkpoint, tmp_path):
    config = read_model_config(tiny_checkpoint("qwen2_5_vl"))
    first, again, other = (
        load_model(tmp_path, config, torch.float32, CPU, load_format="dummy", seed=seed, max_pixels=2000)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.decoder.layers[1].qkv, again.decoder.layers[1].qkv)
    assert not torch.equal(first.decoder.layers[1].qkv, other.decoder.layers[1].qkv)
    assert (first.config.image.min_pixels, first.config.image.max_pixels) == (2000, 2000)
    assert torch.isfinite(first.vision.encode(torch.randn(16, 1176), [(4, 4)])).all()
