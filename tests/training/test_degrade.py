"""Wear: of the same size, by chance alone, and boxes go where their ink goes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from training.render.degrade import CHANGES, Change, degrade, paper_of, warp
from training.samples import Pixels

seeds = st.integers(0, 2**32)
sides = st.integers(1, 90)


def noise(seed: int, height: int, width: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def page() -> Pixels:
    pixels = np.full((300, 400, 3), 250, dtype=np.uint8)
    pixels[100:140, 150:260] = 10
    return pixels


@settings(max_examples=60)
@given(seed=seeds, strength=st.floats(0, 1.2), height=sides, width=st.integers(1, 300), geometry=st.booleans())
def test_wear_keeps_the_size_and_is_a_function_of_chance(
    seed: int, strength: float, height: int, width: int, geometry: bool
) -> None:
    pixels = noise(seed, height, width)
    before = pixels.copy()
    one, other = (degrade(pixels, random.Random(seed), strength, geometry) for _ in range(2))
    assert one.shape == pixels.shape and one.dtype == np.uint8
    assert np.array_equal(one, other) and np.array_equal(pixels, before)
    if strength == 0:
        assert one is pixels


@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=lambda change: change.__name__.strip("_"))
@settings(max_examples=20)
@given(seed=seeds, strength=st.floats(0.01, 1.0), height=sides, width=sides)
def test_every_change_works_on_every_picture(
    change: Change, seed: int, strength: float, height: int, width: int
) -> None:
    picture = Image.fromarray(noise(seed, height, width))
    changed = change(picture, random.Random(seed), strength)
    assert changed.size == picture.size and changed.mode == "RGB"


@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=lambda change: change.__name__.strip("_"))
def test_ink_stays_apart_from_paper(change: Change) -> None:
    for seed in range(30):
        changed = np.asarray(change(Image.fromarray(page()), random.Random(seed), 1.0), dtype=np.float32)
        ink, paper = changed[105:135, 155:255].mean(), changed[20:80, 20:380].mean()
        assert abs(paper - ink) > 60


@given(seed=seeds, strength=st.floats(0, 1))
def test_boxes_follow_what_is_warped(seed: int, strength: float) -> None:
    moved, (box,) = warp(page(), [(150, 100, 260, 140)], random.Random(seed), strength)
    rows, columns = np.nonzero(moved.min(axis=2) < 128)
    x0, y0, x1, y1 = box
    assert x0 <= columns.min() + 1 and y0 <= rows.min() + 1 and x1 >= columns.max() and y1 >= rows.max()
    assert x1 - x0 < 150 and y1 - y0 < 80
    assert moved.shape == page().shape and paper_of(moved) == (250, 250, 250)


@given(seed=seeds, x=st.integers(0, 99), y=st.integers(0, 59), width=st.integers(1, 40), height=st.integers(1, 40))
def test_boxes_stay_on_the_paper(seed: int, x: int, y: int, width: int, height: int) -> None:
    pixels = np.full((60, 100, 3), 255, dtype=np.uint8)
    box = (x, y, min(100, x + width), min(60, y + height))
    _, ((x0, y0, x1, y1),) = warp(pixels, [box], random.Random(seed), 1.0)
    assert 0 <= x0 <= x1 <= 100 and 0 <= y0 <= y1 <= 60
