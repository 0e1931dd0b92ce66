"""The pictures that ship with the reader hold what is said of them."""

from __future__ import annotations

import json
import random

import numpy as np
from PIL import Image

from tests.training.worlds import small_world
from training.render.pages import SIDE
from training.sample_pages import MERGED, page, receipt, report, told
from upright import reader


def test_a_page_is_as_described_and_always_the_same() -> None:
    world = small_world("held-out")
    found = page(world, 1)
    assert found.pixels.shape == (SIDE, SIDE, 3)
    kinds = [block.kind for block in found.blocks]
    assert kinds[:2] == ["title", "text"] and kinds[-1] == "page_number"
    assert not any(mark in block.text for block in found.blocks for mark in MERGED)
    assert all(0 <= edge <= 1000 for block in told(found) for edge in block["box"])
    assert np.array_equal(page(world, 1).pixels, found.pixels)
    assert report(random.Random(1), world) != report(random.Random(2), world)


def test_what_is_asked_of_a_receipt_stands_on_it() -> None:
    _, asked, lines = receipt(small_world("held-out"), 1)
    assert asked[0]["question"] == "What is the total?"
    assert all(any(one["answer"] in line for line in lines) for one in asked)


def test_those_that_ship_are_whole() -> None:
    samples = json.loads(reader.SAMPLES.read_text())
    assert Image.open(reader.PAGE).size == (SIDE, SIDE)
    assert {"title", "text", "table"} <= {block["type"] for block in samples["page"]["blocks"]}
    lines = samples["receipt"]["lines"]
    assert all(any(one["answer"] in line for line in lines) for one in samples["receipt"]["questions"])
    assert Image.open(reader.RECEIPT).height > 10 * len(lines)
