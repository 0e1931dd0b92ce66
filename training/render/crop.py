"""Pieces of a page, as a client cuts them out and sends them."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image

from training.render.degrade import warp
from training.render.typeset import Box, Paper
from training.samples import Pixels

SHORTEST = 28  # pixels: what has a shorter edge is scaled up
FLATTEST = 50  # times longer than the other edge: beyond that, white is added


def crop(rng: random.Random, paper: Paper, box: Box, margins: Box, strength: float) -> Pixels:
    """What is in a box and in the margins around it, left, above, right and below, in pixels.

    A sheet may lie askew, by `strength` from 0 to 1: then the box is cut out in which all of it still is.
    """
    if strength > 0 and rng.random() < 0.5 * strength:
        room = 24 + (box[3] - box[1]) // 8
        x0, y0 = max(0, box[0] - room), max(0, box[1] - room)
        piece = paper.cut((x0, y0, box[2] + room, box[3] + room))
        turned, (moved,) = warp(piece, [(box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)], rng, strength)
        left, top = max(0, moved[0] - margins[0]), max(0, moved[1] - margins[1])
        return np.ascontiguousarray(turned[top : moved[3] + margins[3], left : moved[2] + margins[2]])
    return paper.cut((box[0] - margins[0], box[1] - margins[1], box[2] + margins[2], box[3] + margins[3]))


def around(boxes: list[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def as_sent(pixels: Pixels) -> Pixels:
    """What MinerU's client makes of a crop: white beside what is too flat or too narrow, no edge that is too short."""
    height, width = pixels.shape[:2]
    if max(height, width) > FLATTEST * min(height, width):
        new_height, new_width = max(height, math.ceil(width / FLATTEST)), max(width, math.ceil(height / FLATTEST))
        padded = np.full((new_height, new_width, 3), 255, dtype=np.uint8)
        y, x = (new_height - height) // 2, (new_width - width) // 2
        padded[y : y + height, x : x + width] = pixels
        pixels, height, width = padded, new_height, new_width
    if min(height, width) < SHORTEST:
        scale = SHORTEST / min(height, width)
        size = math.ceil(width * scale), math.ceil(height * scale)
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    return pixels
