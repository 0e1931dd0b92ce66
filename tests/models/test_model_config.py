"""Configurations in every form that transformers 4 and 5 write."""

from __future__ import annotations

import json

import pytest

from upright.models.model_config import (
    GenerationDefaults,
    ImageProcessing,
    RopeConfig,
    UnsupportedModel,
    read_model_config,
)

TEXT = {
    "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
    "num_key_value_heads": 2, "vocab_size": 151936, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "max_position_embeddings": 32768, "use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 28,
}  # fmt: skip
OLD_VISION = {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4, "in_chans": 3,
              "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}  # fmt: skip
OLD = TEXT | {
    "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "torch_dtype": "bfloat16",
    "tie_word_embeddings": True, "rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vision_config": OLD_VISION, "image_token_id": 151655, "eos_token_id": 151645,
}  # fmt: skip
NEW = {
    "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "dtype": "bfloat16",
    "text_config": TEXT | {
        "tie_word_embeddings": True, "eos_token_id": 151645, "layer_types": ["full_attention"] * 28,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    "vision_config": OLD_VISION | {"in_channels": 3, "hidden_act": "quick_gelu"},
}  # fmt: skip
PROCESSOR = {"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
LLAMA = TEXT | {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 500000.0}


def write(directory, config, processor=None, generation=None, processor_name="preprocessor_config.json"):
    (directory / "config.json").write_text(json.dumps(config))
    if processor is not None:
        (directory / processor_name).write_text(json.dumps(processor))
    if generation is not None:
        (directory / "generation_config.json").write_text(json.dumps(generation))
    return directory


def test_flat_and_nested_say_the_same(tmp_path):
    old = write(tmp_path, OLD, PROCESSOR)
    first = read_model_config(old)
    assert read_model_config(write(tmp_path, NEW, PROCESSOR)) == first
    assert first.decoder.tied_embeddings
    assert first.decoder.qkv_bias
    assert not first.decoder.output_bias
    assert first.decoder.head_size == 128
    assert first.decoder.rope == RopeConfig("default", 1e6, (16, 24, 24), original_max_position=32768)
    assert first.dtype == "bfloat16"
    assert first.vision.intermediate_size == 5120
    assert first.vision.output_size == 1536
    assert (first.image_token_id, first.video_token_id) == (151655, 151656)
    assert first.eos_token_ids == (151645,)


@pytest.mark.parametrize(
    ("processor", "limits"),
    [
        (PROCESSOR, (3136, 12845056)),
        ({"size": {"shortest_edge": 784, "longest_edge": 1003520}}, (784, 1003520)),
        ({"size": {"min_pixels": 784, "max_pixels": 1003520}}, (784, 1003520)),
        ({"min_pixels": 1000, "size": {"shortest_edge": 784, "longest_edge": 5000}}, (1000, 5000)),
        ({}, (3136, 1003520)),
    ],
)
def test_limits_of_an_image(tmp_path, processor, limits):
    image = read_model_config(write(tmp_path, OLD, processor)).image
    assert (image.min_pixels, image.max_pixels) == limits
    assert isinstance(image, ImageProcessing)


def test_an_image_processor_inside_a_processor(tmp_path):
    whole = {"processor_class": "Qwen2VLProcessor", "image_processor": PROCESSOR}
    config = read_model_config(write(tmp_path, NEW, whole, processor_name="processor_config.json"))
    assert config.image.max_pixels == 12845056


def test_what_transformers_writes_now(tiny_checkpoint):
    config = read_model_config(tiny_checkpoint("qwen2_5_vl"))
    assert config.vision.window_size == 112
    assert config.vision.full_attention_layers == (1, 3)
    assert config.vision.tokens_per_second == 2
    assert config.dtype == "float32"
    assert config.decoder.rope.sections == (4, 6, 6)
    assert config.eos_token_ids == (151645, 151643)


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("name", ["type", "rope_type"])
def test_llama_3_rope(tmp_path, key, name):
    rope = {name: "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}  # fmt: skip
    decoder = read_model_config(write(tmp_path, LLAMA | {key: rope})).decoder
    assert decoder.rope == RopeConfig("llama3", 500000.0, None, 8.0, 1.0, 4.0, 8192)
    assert not decoder.qkv_bias


def test_llama_with_biases_and_a_head_size(tmp_path):
    config = read_model_config(
        write(tmp_path, LLAMA | {"attention_bias": True, "mlp_bias": True, "head_dim": 64, "rope_scaling": None})
    )
    assert config.decoder.qkv_bias
    assert config.decoder.output_bias
    assert config.decoder.mlp_bias
    assert config.decoder.head_size == 64
    assert config.decoder.rope.kind == "default"
    assert (config.vision, config.image, config.image_token_id) == (None, None, None)


def test_generation_defaults(tmp_path):
    generation = {"eos_token_id": [7, 8], "temperature": 0.1, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
    config = read_model_config(write(tmp_path, LLAMA | {"eos_token_id": 3}, generation=generation))
    assert config.eos_token_ids == (7, 8)
    assert config.generation == GenerationDefaults(0.1, 0.8, 20, None, 1.05)
    assert read_model_config(write(tmp_path, LLAMA, generation={"eos_token_id": 5})).eos_token_ids == (5,)


def test_a_configuration_without_architectures_goes_by_its_type(tmp_path):
    config = {key: value for key, value in LLAMA.items() if key != "architectures"}
    assert read_model_config(write(tmp_path, config)).architecture == "LlamaForCausalLM"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "MistralForCausalLM is not supported; .*: Qwen2VL.*Llama"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "rope type 'yarn' .* default, mrope, linear, llama3"),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [1, 2, 3]}}, "must be three numbers that sum to 64"),
        ({"use_sliding_window": True, "max_window_layers": 20}, "sliding-window"),
        ({"layer_types": ["sliding_attention"] * 28}, "sliding-window"),
        ({"quantization_config": {"quant_method": "awq"}}, r"quantized \(awq\)"),
        ({"torch_dtype": "float8_e4m3fn"}, "float8_e4m3fn"),
        ({"hidden_act": "gelu"}, "'gelu'"),
        ({"hidden_size": None}, "does not describe"),
        ({"vision_config": OLD_VISION | {"hidden_size": 999}}, "999 values, the decoder's hidden size 1536"),
        ({"vision_config": OLD_VISION | {"hidden_act": "relu"}}, "'relu'"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused(tmp_path, change, message):
    with pytest.raises(UnsupportedModel, match=message):
        read_model_config(write(tmp_path, OLD | change, PROCESSOR))


def test_a_missing_key_is_named(tmp_path):
    config = {key: value for key, value in OLD.items() if key != "vocab_size"}
    with pytest.raises(UnsupportedModel, match="'vocab_size', which is needed"):
        read_model_config(write(tmp_path, config, PROCESSOR))


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"holds no config\.json"):
        read_model_config(tmp_path)
    with pytest.raises(UnsupportedModel, match=r"holds no preprocessor_config\.json"):
        read_model_config(write(tmp_path, OLD))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnsupportedModel, match="cannot be read"):
        read_model_config(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UnsupportedModel, match="must hold a JSON object"):
        read_model_config(tmp_path)


def test_an_image_processor_that_does_something_else_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="patch_size is 16; only 14"):
        read_model_config(write(tmp_path, OLD, PROCESSOR | {"patch_size": 16}))
    with pytest.raises(UnsupportedModel, match="rescale_factor"):
        read_model_config(write(tmp_path, OLD, PROCESSOR | {"rescale_factor": 1.0}))


def test_sliding_windows_that_no_layer_uses_are_fine(tmp_path):
    config = read_model_config(write(tmp_path, OLD | {"use_sliding_window": True}, PROCESSOR))
    assert config.decoder.layers == 28
