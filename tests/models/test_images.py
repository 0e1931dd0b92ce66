"""Image sizes, pixels and positions against transformers."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from upright.models.image_grid import image_grid, smart_resize
from upright.models.image_pixels import image_patches
from upright.models.model_config import read_model_config
from upright.models.mrope import ImageSpan, prompt_positions
from upright.models.resample import resize_bicubic


@pytest.fixture(scope="module")
def processor():
    from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl

    return image_processing_pil_qwen2_vl.Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 401408})


side = st.integers(1, 5000)


@given(height=side, width=side, least=st.integers(1, 200_000), more=st.integers(1, 2_000_000))
@settings(max_examples=400, deadline=None)
def test_smart_resize_equals_that_of_transformers(height, width, least, more):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as theirs

    limits = {"min_pixels": least, "max_pixels": least + more}
    try:
        expected = theirs(height, width, factor=28, **limits)
    except ValueError:
        with pytest.raises(ValueError, match="aspect ratio"):
            smart_resize(height, width, 28, **limits)
        return
    except ZeroDivisionError:
        return
    assert smart_resize(height, width, 28, **limits) == expected


def test_an_aspect_ratio_over_200_is_refused_with_the_numbers(tiny_checkpoint):
    config = read_model_config(tiny_checkpoint("qwen2_vl"))
    with pytest.raises(ValueError, match="10x3010 pixels has an aspect ratio of 301"):
        image_grid(3010, 10, config.vision, config.image)


def test_a_lower_limit_of_pixels_holds_even_below_the_least(tiny_checkpoint):
    config = read_model_config(tiny_checkpoint("qwen2_vl"))
    grid = image_grid(1000, 800, config.vision, config.image, max_pixels=100_000)
    assert grid.height * grid.width <= 100_000
    assert grid.tokens == grid.grid_height * grid.grid_width // 4
    assert image_grid(1000, 800, config.vision, config.image, max_pixels=784).tokens == 1


@pytest.mark.parametrize("kind", ["noise", "gradient", "text"])
@pytest.mark.parametrize("size", [(64, 64), (300, 200), (37, 411), (1000, 900), (28, 28), (10, 40), (640, 480)])
def test_patches_equal_those_of_the_image_processor(tiny_checkpoint, processor, kind, size):
    height, width = size
    config = read_model_config(tiny_checkpoint("qwen2_vl"))
    generator = numpy.random.default_rng(height * width)
    if kind == "noise":
        pixels = generator.integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    elif kind == "gradient":
        pixels = numpy.indices((height, width)).sum(0)[..., None] * numpy.array([1, 2, 3])
        pixels = (pixels * 255 // pixels.max()).astype(numpy.uint8)
    else:  # hard edges, where bicubic overshoots and must be clamped
        pixels = (generator.random((height, width, 1)) < 0.1).astype(numpy.uint8).repeat(3, 2) * 255
    grid = image_grid(height, width, config.vision, config.image)
    theirs = processor(images=[pixels], return_tensors="pt", input_data_format="channels_last")
    assert theirs["image_grid_thw"].tolist() == [[1, grid.grid_height, grid.grid_width]]
    ours = image_patches(torch.from_numpy(pixels), grid, config.vision, config.image)
    torch.testing.assert_close(ours, theirs["pixel_values"], atol=1e-6, rtol=1e-6)


length = st.integers(1, 160)


@given(source=st.tuples(length, length), target=st.tuples(length, length), seed=st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_resizing_equals_pillow_to_the_last_bit(source, target, seed):
    pixels = numpy.random.default_rng(seed).integers(0, 256, (*source, 3), dtype=numpy.uint8)
    expected = Image.fromarray(pixels).resize((target[1], target[0]), Image.Resampling.BICUBIC)
    assert numpy.array_equal(resize_bicubic(torch.from_numpy(pixels), *target).numpy(), numpy.asarray(expected))


@pytest.mark.parametrize("architecture", ["qwen2_vl", "qwen2_5_vl"])
@pytest.mark.parametrize("grids", [[], [(2, 3)], [(1, 1), (5, 2), (4, 4)], [(3, 9), (1, 2)]])
def test_positions_equal_those_of_transformers(tiny_checkpoint, architecture, grids):
    import transformers

    directory = tiny_checkpoint(architecture)
    theirs = _meta_model(getattr(transformers, read_model_config(directory).architecture), directory)
    kinds: list[int] = [0, 0, 0]
    spans = []
    for height, width in grids:
        spans.append(ImageSpan(len(kinds), height, width))
        kinds += [1] * (height * width) + [0] * (height + 1)
    ids = torch.zeros(1, len(kinds), dtype=torch.int64)
    grid_thw = torch.tensor([[1, 2 * h, 2 * w] for h, w in grids]) if grids else None
    expected, delta = theirs.model.get_rope_index(ids, torch.tensor([kinds]), image_grid_thw=grid_thw)
    positions, our_delta = prompt_positions(len(kinds), spans)
    assert torch.equal(positions, expected[:, 0])
    assert our_delta == delta.item()


def test_an_image_at_the_very_start_and_the_very_end():
    positions, delta = prompt_positions(8, [ImageSpan(0, 2, 2), ImageSpan(4, 1, 4)])
    assert positions.tolist() == [
        [0, 0, 0, 0, 2, 2, 2, 2],
        [0, 0, 1, 1, 2, 2, 2, 2],
        [0, 1, 0, 1, 2, 3, 4, 5],
    ]
    assert delta == -2


def test_images_that_overlap_or_leave_the_prompt_are_refused():
    with pytest.raises(ValueError, match="overlaps"):
        prompt_positions(10, [ImageSpan(0, 2, 2), ImageSpan(3, 1, 1)])
    with pytest.raises(ValueError, match="10 tokens"):
        prompt_positions(10, [ImageSpan(8, 2, 2)])


def _meta_model(kind, directory):
    import transformers

    with torch.device("meta"):
        return kind(transformers.AutoConfig.from_pretrained(directory))
